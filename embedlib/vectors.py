"""A ``vectors`` artifact: what made the vectors of a corpus, and the vectors in its row order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from embedlib.contracts import Floats, Rows, read_column
from embedlib.errors import MismatchError
from embedlib.json_file import JsonFile


class VectorsInfo(JsonFile):
    """What made some vectors, and their files in row order with the rows of each."""

    FILE: ClassVar[str] = "vectors.json"
    dimension: int
    dtype: str
    count: int
    normalized: bool
    model_digest: str
    encoding: dict[str, str]
    corpus_digest: str
    shards: list[str]
    rows: list[int]


class ShardInfo(JsonFile):
    """The same of a ``shard`` artifact: vectors of some documents, before they are a corpus's."""

    FILE: ClassVar[str] = VectorsInfo.FILE
    encoding: dict[str, str]
    normalized: bool
    shards: list[str]
    rows: list[int]


class Vectors:
    """A vectors artifact: float16 or float32 shards in corpus row order, and what made them.

    ``ids.parquet`` holds (doc_id, content_hash) in row order.

    Raises:
        CorruptArtifact: ``vectors.json`` is missing or damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.info = VectorsInfo.read(folder)

    def __len__(self) -> int:
        return self.info.count

    @property
    def dimension(self) -> int:
        """Components per vector."""
        return self.info.dimension

    @property
    def model_digest(self) -> str:
        """Content digest of the model that made the vectors."""
        return self.info.model_digest

    @cached_property
    def ids(self) -> list[str]:
        """doc_id of each row."""
        return read_column(self.folder / "ids.parquet", "doc_id")

    def blocks(self, rows: int = 16384) -> Iterator[tuple[int, Floats]]:
        """(first row, float32 [<=rows, dimension]) in row order, one block in memory at a time."""
        for first, shard in self._shards():
            for offset in range(0, len(shard), rows):
                yield first + offset, np.asarray(shard[offset : offset + rows], dtype=np.float32)

    def _shards(self) -> Iterator[tuple[int, Floats]]:
        """(first row, its vectors on disk) of each shard."""
        start = 0
        for name in self.info.shards:
            shard = np.load(self.folder / name, mmap_mode="r", allow_pickle=False)
            yield start, shard
            start += len(shard)

    def load(self) -> Floats:
        """All vectors, float32 [count, dimension]."""
        out = np.empty((len(self), self.dimension), dtype=np.float32)
        for start, block in self.blocks():
            out[start : start + len(block)] = block
        return out

    @cached_property
    def _mapped(self) -> list[tuple[int, Floats]]:
        return list(self._shards())

    def take(self, rows: Sequence[int] | Rows) -> Floats:
        """The vectors at ``rows``, float32 [len(rows), dimension], in the order given."""
        wanted = np.asarray(rows, dtype=np.int64)
        out = np.empty((len(wanted), self.dimension), dtype=np.float32)
        for first, shard in self._mapped:
            inside = (wanted >= first) & (wanted < first + len(shard))
            out[inside] = shard[wanted[inside] - first]
        return out

    def require_model(self, model_digest: str) -> None:
        """Refuse vectors that another model made.

        Raises:
            MismatchError: The digests differ.
        """
        if self.model_digest != model_digest:
            raise MismatchError(
                "these vectors were made by another model",
                where=str(self.folder),
                expected=f"model {model_digest}",
                found=f"model {self.model_digest}",
                remedy="encode the corpus with this model",
            )

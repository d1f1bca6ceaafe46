"""Known vectors put together in corpus order, as a vectors artifact's files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from embedlib.artifact import ArtifactRef
from embedlib.contracts import Corpus
from embedlib.errors import DataError, ModelError
from embedlib.index.vector_cache import Hashes, VectorCache
from embedlib.models.encoder import unusable
from embedlib.vectors import VectorsInfo

#: Rows an array file holds.
FILE_ROWS = 16384


def write_vectors(
    corpus: ArtifactRef, hashes: Hashes, cache: VectorCache, out: Path, encoding: Mapping[str, str]
) -> int:
    """Write ``shards/*.npy``, ``ids.parquet`` and ``vectors.json``; returns the dimension.

    Args:
        corpus: The corpus artifact.
        hashes: Its documents' content hashes in row order, S16 [n].
        cache: Holds a vector for each of them.
        out: Folder to write to.
        encoding: What made the vectors; ``model`` is the model's digest.

    Raises:
        DataError: The corpus is empty.
        ModelError: A vector is unusable; its document is named.
    """
    if not len(hashes):
        raise DataError("the corpus is empty", where=str(corpus.path), expected="at least one document")
    (out / "shards").mkdir()
    names: list[str] = []
    rows: list[int] = []
    positions = cache.find(hashes)
    for start in range(0, len(hashes), FILE_ROWS):
        block = cache.take(positions[start : start + FILE_ROWS])
        _check(block, corpus, start)
        names.append(f"shards/{len(names):05d}.npy")
        rows.append(len(block))
        np.save(out / names[-1], block, allow_pickle=False)
    _write_ids(corpus.file("corpus.parquet"), out / "ids.parquet")
    info = VectorsInfo(
        dimension=int(block.shape[1]),
        dtype=str(block.dtype),
        count=len(hashes),
        normalized=cache.normalized,
        model_digest=encoding["model"],
        encoding=dict(encoding),
        corpus_digest=corpus.digest,
        shards=names,
        rows=rows,
    )
    info.write(out)
    return info.dimension


def _check(block: Any, corpus: ArtifactRef, start: int) -> None:
    bad = unusable(block.astype(np.float32))
    if len(bad):
        doc_id = Corpus(corpus.path).take([start + int(bad[0])])[0].doc_id
        raise ModelError(
            f"the vector of document {doc_id!r} is zero or not finite",
            expected="finite components and a length above zero",
            remedy="encode with precision fp32 and dtype float32, or use another model",
        )


def _write_ids(corpus: Path, path: Path) -> None:
    with pq.ParquetFile(corpus) as source:
        schema = source.schema_arrow
        wanted = ["doc_id", "content_hash"]
        kept = schema.empty_table().select(wanted).schema
        with pq.ParquetWriter(path, kept, compression="zstd") as writer:
            for block in source.iter_batches(batch_size=65536, columns=wanted):
                writer.write_batch(block.select(wanted))

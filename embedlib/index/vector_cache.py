"""Vectors that the store holds already, found by the content they stand for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from embedlib.contracts import Rows
from embedlib.errors import DataError
from embedlib.store import ArtifactRef, Store

#: A content hash as 16 raw bytes: what 700,000 of them take is 11 MB.
Hashes = npt.NDArray[np.bytes_]

#: Artifacts looked through, newest first: a refresh keeps almost everything of the one before.
NEWEST = 8


class Place(NamedTuple):
    """One array file of vectors, the first of its rows counted over all files, and its row count."""

    path: Path
    start: int
    rows: int


class VectorCache:
    """Vectors of one encoding, in any number of artifacts, by content hash.

    Args:
        artifacts: ``vectors`` or ``shard`` artifacts: ``ids.parquet`` with ``content_hash``, and the
            array files that ``vectors.json`` lists under ``shards``, in the same order.

    Attributes:
        normalized: Whether their vectors have unit norm.
    """

    def __init__(self, artifacts: Iterable[ArtifactRef]) -> None:
        self._places: list[Place] = []
        self.normalized = False
        parts = []
        for ref in artifacts:
            info = ref.read_json("vectors.json")
            self.normalized = bool(info["normalized"])
            parts.append(read_hashes(ref.file("ids.parquet")))
            for name in info["shards"]:
                self._append(ref.path / name)
        hashes = np.concatenate(parts) if parts else np.empty(0, dtype="S16")
        self._order = np.argsort(hashes, kind="stable")
        self._sorted = hashes[self._order]

    def __len__(self) -> int:
        return len(self._sorted)

    def find(self, hashes: Hashes) -> Rows:
        """Position of each hash's vector, -1 where there is none, int64 [n]."""
        if not len(self._sorted):
            return np.full(len(hashes), -1, dtype=np.int64)
        at = np.minimum(np.searchsorted(self._sorted, hashes), len(self._sorted) - 1)
        return np.where(self._sorted[at] == hashes, self._order[at], -1)

    def take(self, positions: Rows) -> npt.NDArray[Any]:
        """The vectors at ``positions``, [n, d]; files are mapped one after the other and let go."""
        out: npt.NDArray[Any] | None = None
        for place in self._places:
            inside = (positions >= place.start) & (positions < place.start + place.rows)
            if inside.any():
                shard = np.load(place.path, mmap_mode="r", allow_pickle=False)
                if out is None:
                    out = np.empty((len(positions), shard.shape[1]), dtype=shard.dtype)
                out[inside] = shard[positions[inside] - place.start]
        if out is None:
            raise ValueError("no position lies in a known file")
        return out

    def _append(self, path: Path) -> None:
        start = self._places[-1].start + self._places[-1].rows if self._places else 0
        rows = len(np.load(path, mmap_mode="r", allow_pickle=False))
        self._places.append(Place(path, start, rows))


def cached_vectors(store: Store, encoding: Mapping[str, Any], *, shards: bool = True) -> VectorCache:
    """Everything the store holds of an encoding: finished vectors and, if wanted, loose shards."""
    kinds = {"vectors": NEWEST, "shard": None} if shards else {"vectors": NEWEST}
    return VectorCache(
        ref for kind, limit in kinds.items() for ref in of_encoding(store, kind, encoding, limit)
    )


def of_encoding(
    store: Store, kind: str, encoding: Mapping[str, Any], limit: int | None = None
) -> Iterator[ArtifactRef]:
    """Intact artifacts of a kind whose vectors were made by this encoding, newest first."""
    found = 0
    for candidate in store.artifacts(kind):
        if limit is not None and found == limit:
            return
        ref = store.find(kind, candidate.fingerprint)
        if ref is not None and ref.read_json("vectors.json").get("encoding") == dict(encoding):
            found += 1
            yield ref


def read_hashes(path: Path) -> Hashes:
    """The column ``content_hash`` of a Parquet file as 16-byte strings, in row order, S16 [n].

    Raises:
        DataError: A hash is not 32 hexadecimal digits.
    """
    parts = []
    with pq.ParquetFile(path) as file:
        for block in file.iter_batches(batch_size=65536, columns=["content_hash"]):
            parts.append(_raw("".join(block.column(0).to_pylist()), len(block), path))
    return np.concatenate(parts) if parts else np.empty(0, dtype="S16")


def _raw(text: str, count: int, path: Path) -> Hashes:
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raw = b""
    if len(raw) != 16 * count:
        raise DataError(
            "a content_hash is not a hash",
            where=str(path),
            expected="32 hexadecimal digits a document",
            remedy="ingest the corpus again",
        )
    return np.frombuffer(raw, dtype="S16")

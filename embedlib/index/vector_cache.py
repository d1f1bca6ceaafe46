"""Vectors that the store holds already, found by the content they stand for.

What is found is checked: a file of vectors is compared with its checksum before any of them is reused,
and one that is damaged is passed over, so that its documents are encoded anew.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from embedlib.artifact import ArtifactRef
from embedlib.contracts import Rows
from embedlib.errors import CorruptArtifact, DataError, StoreError
from embedlib.integrity import SEEN_HERE
from embedlib.store import Store
from embedlib.vectors import ShardInfo, VectorsInfo

logger = logging.getLogger(__name__)

#: A content hash as 16 raw bytes: what 700,000 of them take is 11 MB.
Hashes = npt.NDArray[np.bytes_]

#: Artifacts looked through, newest first: a refresh keeps almost everything of the one before.
NEWEST = 8


class Place(NamedTuple):
    """One array file of vectors: its artifact, its name, the content hash of each of its rows."""

    ref: ArtifactRef
    name: str
    hashes: Hashes

    @property
    def path(self) -> Path:
        """The file."""
        return self.ref.file(self.name)


class VectorCache:
    """Vectors of one encoding, in any number of artifacts, by content hash.

    Args:
        artifacts: ``vectors`` or ``shard`` artifacts: ``ids.parquet`` with ``content_hash``, and the
            array files that ``vectors.json`` lists under ``shards``, their numbers of rows under ``rows``,
            in the same order.

    Attributes:
        normalized: Whether their vectors have unit norm.
    """

    def __init__(self, artifacts: Iterable[ArtifactRef]) -> None:
        self._places: list[Place] = []
        self._checked: set[Path] = set()
        self.normalized = False
        for ref in artifacts:
            info = read_info(ref)
            self.normalized = info.normalized
            hashes, start = read_hashes(ref.file("ids.parquet")), 0
            for name, rows in zip(info.shards, info.rows, strict=True):
                self._places.append(Place(ref, name, hashes[start : start + rows]))
                start += rows
        self._sort()

    def __len__(self) -> int:
        return len(self._sorted)

    def find(self, hashes: Hashes) -> Rows:
        """Position of each hash's vector, -1 where there is none, int64 [n].

        Vectors whose file is damaged are not found, now or later.
        """
        while True:
            positions = self._look_up(hashes)
            damaged = {p.path for p in self._holding(positions) if not self._is_intact(p)}
            if not damaged:
                return positions
            self._places = [p for p in self._places if p.path not in damaged]
            self._sort()

    def take(self, positions: Rows) -> npt.NDArray[Any]:
        """The vectors at ``positions``, [n, d]; files are mapped one after the other and let go.

        Raises:
            StoreError: A position is none that ``find`` gave.
        """
        out: npt.NDArray[Any] | None = None
        for place, start in zip(self._places, self._starts, strict=False):
            inside = (positions >= start) & (positions < start + len(place.hashes))
            if inside.any():
                shard = np.load(place.path, mmap_mode="r", allow_pickle=False)
                if out is None:
                    out = np.empty((len(positions), shard.shape[1]), dtype=shard.dtype)
                out[inside] = shard[positions[inside] - start]
        if out is None or (positions < 0).any():
            raise StoreError(
                "a document's vector is not in the store any more",
                expected=f"{len(positions)} vectors",
                found=f"{int((positions >= 0).sum())} vectors",
                remedy="give the same command again: what is missing is encoded anew",
            )
        return out

    def _sort(self) -> None:
        hashes = np.concatenate([p.hashes for p in self._places]) if self._places else np.empty(0, "S16")
        self._starts = np.cumsum([0, *(len(p.hashes) for p in self._places)], dtype=np.int64)
        self._order = np.argsort(hashes, kind="stable")
        self._sorted = hashes[self._order]

    def _look_up(self, hashes: Hashes) -> Rows:
        if not len(self._sorted):
            return np.full(len(hashes), -1, dtype=np.int64)
        at = np.minimum(np.searchsorted(self._sorted, hashes), len(self._sorted) - 1)
        return np.where(self._sorted[at] == hashes, self._order[at], -1)

    def _holding(self, positions: Rows) -> list[Place]:
        """The places that the positions lie in."""
        found = np.unique(np.searchsorted(self._starts, positions[positions >= 0], side="right") - 1)
        return [self._places[i] for i in found]

    def _is_intact(self, place: Place) -> bool:
        if place.path in self._checked:
            return True
        try:
            place.ref.require_intact(SEEN_HERE, names=[place.name])
        except CorruptArtifact as error:
            logger.warning("%s; its documents are encoded anew", error)
            return False
        self._checked.add(place.path)
        return True


def cached_vectors(store: Store, encoding: Mapping[str, Any], *, shards: bool = True) -> VectorCache:
    """Everything the store holds of an encoding: finished vectors and, if wanted, loose shards."""
    kinds = {"vectors": NEWEST, "shard": None} if shards else {"vectors": NEWEST}
    return VectorCache(
        ref for kind, limit in kinds.items() for ref in of_encoding(store, kind, encoding, limit)
    )


def of_encoding(
    store: Store, kind: str, encoding: Mapping[str, Any], limit: int | None = None
) -> Iterator[ArtifactRef]:
    """Artifacts of a kind whose vectors were made by this encoding, newest first.

    Their records and ids are intact; the vectors are checked when they are found.
    """
    found = 0
    for ref in store.artifacts(kind):
        if limit is not None and found == limit:
            return
        if _is_of(ref, encoding):
            found += 1
            yield ref


def _is_of(ref: ArtifactRef, encoding: Mapping[str, Any]) -> bool:
    try:
        ref.require_intact(SEEN_HERE, names=[VectorsInfo.FILE])
        if read_info(ref).encoding != dict(encoding):
            return False
        ref.require_intact(SEEN_HERE, names=["ids.parquet"])
    except CorruptArtifact as error:
        logger.warning("left out: %s", error)
        return False
    return True


def read_info(ref: ArtifactRef) -> VectorsInfo | ShardInfo:
    """``vectors.json`` of a ``vectors`` or ``shard`` artifact.

    Raises:
        CorruptArtifact: It is missing or damaged.
    """
    return (ShardInfo if ref.kind == "shard" else VectorsInfo).read(ref.path)


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

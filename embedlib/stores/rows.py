"""The rows that a release has in a store: deterministic keys, a hash of each row, and what differs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from embedlib.contracts import Corpus, Document, Rows
from embedlib.index.catalog import Release
from embedlib.index.dense import scored_dimension
from embedlib.index.info import IndexInfo
from embedlib.models.encoder import truncate
from embedlib.stores.base import TEXTS, CollectionInfo, IndexType, row_schema
from embedlib.vectors import Vectors

#: Bytes of texts and vectors after which a batch is sent, however few rows it has.
BATCH_BYTES = 8_000_000

#: 16 bytes each.
Digests = npt.NDArray[np.bytes_]


class Difference(NamedTuple):
    """What a collection lacks of a release: rows to send [n] and keys to delete."""

    rows: Rows
    keys: list[str]

    def __bool__(self) -> bool:
        return bool(len(self.rows) or self.keys)


class ReleaseRows:
    """The rows of one release; 32 bytes a document are kept in memory.

    Args:
        root: The workspace.
        release: Its record; the caller holds the release.
    """

    def __init__(self, root: Path, release: Release) -> None:
        self.release = release
        self.corpus = Corpus(release.ref(root, "corpus").path)
        self.vectors = Vectors(release.ref(root, "vectors").path)
        info = IndexInfo.read(release.ref(root, "index").path)
        self.recall_k, self.recall_target = info.recall.k, info.recall.target
        self.normalized = info.normalized
        self.dimension = scored_dimension(info.settings, info.dimension, info.vector_dimension)

    def __len__(self) -> int:
        return len(self.vectors)

    def describe(self, index: IndexType) -> CollectionInfo:
        """What is kept with a collection of these rows."""
        return CollectionInfo(
            release=self.release.number,
            model_digest=self.release.model.digest,
            corpus_digest=self.release.parts["corpus"].digest,
            dimension=self.dimension,
            count=len(self),
            index=index,
            search=self.release.search,
        )

    @cached_property
    def digests(self) -> tuple[Digests, Digests]:
        """Key and row hash of each document, in row order."""
        keys, hashes = bytearray(), bytearray()
        for document in self.corpus.documents():
            keys += bytes.fromhex(row_key(document.doc_id))
            hashes += bytes.fromhex(row_hash(document))
        return np.frombuffer(keys, dtype="S16"), np.frombuffer(hashes, dtype="S16")

    def difference(self, held: Iterable[tuple[list[str], list[str]]]) -> Difference:
        """What a collection that holds these (keys, row hashes) lacks, and has too much."""
        keys, hashes = self.digests
        read_keys, read_hashes = bytearray(), bytearray()
        for page, page_hashes in held:
            read_keys += bytes.fromhex("".join(page))
            read_hashes += bytes.fromhex("".join(page_hashes))
        theirs, their_hashes = (np.frombuffer(read, dtype="S16") for read in (read_keys, read_hashes))
        if not len(theirs):
            return Difference(np.arange(len(keys)), [])
        order = np.argsort(theirs)
        place = np.minimum(np.searchsorted(theirs, keys, sorter=order), len(theirs) - 1)
        same = (theirs[order][place] == keys) & (their_hashes[order][place] == hashes)
        extra = theirs[~np.isin(theirs, keys)]
        padded = [key.ljust(16, b"\0").hex() for key in extra]  # NumPy drops trailing zeros
        return Difference(np.flatnonzero(~same), padded)

    def batches(self, rows: Rows, size: int) -> Iterator[pa.Table]:
        """The documents at ``rows`` as they are written, at most ``size`` and ``BATCH_BYTES`` at a time."""
        wanted = np.zeros(len(self), dtype=bool)
        wanted[rows] = True
        schema = row_schema(self.dimension)
        pending: list[dict[str, Any]] = []
        places: list[int] = []
        weight = 0

        def table() -> pa.Table:
            vectors = truncate(self.vectors.take(places), self.dimension, self.normalized)
            flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), self.dimension)
            texts = pa.Table.from_pylist(pending, schema=schema.remove(len(schema) - 1))
            return texts.append_column(schema.field("vector"), flat)

        for row, document in enumerate(self.corpus.documents()):
            if not wanted[row]:
                continue
            values = {"key": row_key(document.doc_id), "row_hash": row_hash(document)}
            pending.append(values | {name: getattr(document, name) for name in TEXTS})
            places.append(row)
            weight += len(document.text) + 4 * self.dimension
            if len(pending) == size or weight > BATCH_BYTES:
                yield table()
                pending, places, weight = [], [], 0
        if pending:
            yield table()


def row_key(doc_id: str) -> str:
    """Identity of a document's row in a store, the same in every run: 32 hexadecimal digits of SHA-256.

    >>> row_key("doc-1")
    'bb0e4f49443794d901e8969ff11bd112'
    """
    return hashlib.sha256(doc_id.encode()).hexdigest()[:32]


def row_hash(document: Document) -> str:
    """Identity of what a row holds beside its vector, which follows from it and the model."""
    values = [getattr(document, name) for name in TEXTS]
    return hashlib.sha256(json.dumps(values, ensure_ascii=False).encode()).hexdigest()[:32]

"""One release, opened once and kept whole: its model, index and documents."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from embedlib.artifact import ArtifactRef
from embedlib.contracts import Floats, Rows
from embedlib.errors import CorruptArtifact, MismatchError
from embedlib.index.catalog import Release, read_release
from embedlib.index.dense import DenseIndex
from embedlib.index.documents import Documents
from embedlib.index.filters import Filters, MetadataFilter
from embedlib.index.info import BM25_DIR, MOMENTS_FILE, IndexInfo, open_bm25
from embedlib.index.query_batcher import QueryBatcher
from embedlib.index.release_lock import ReleaseLock
from embedlib.index.release_parts import require_served
from embedlib.models.encoder import Encoder
from embedlib.retrieval.bm25 import BM25Index
from embedlib.retrieval.dense import block_of, exact_search
from embedlib.retrieval.fusion import Rankers
from embedlib.retrieval.hits import NO_ROW, Hits, empty_hits, keep_hits
from embedlib.retrieval.lexical import lexical_scores
from embedlib.retrieval.moments import VectorMoments
from embedlib.retrieval.plan import DENSE, SearchPlan
from embedlib.retrieval.sparse import SPARSE_DIR, SparseIndex, open_sparse
from embedlib.vectors import Vectors

#: Hits of query vectors [q, d], k a query.
DenseSearch = Callable[[Floats, int], Hits]

#: What a snapshot was opened from: a release by number, or a store's collection and what is kept with it.
Source = Hashable

#: A filter that leaves at most this many documents is answered exactly, over their vectors alone.
EXACT_FILTER = 20_000


class Snapshot:
    """All that answers queries of one release.

    Args:
        root: The workspace.
        hold: A hold on the release; the snapshot keeps it until nothing refers to the snapshot.
        encoders: Loaded models by content digest, shared with other snapshots.
        dense: Who answers the dense ranking, given query vectors [q, d] and k; the release's own index
            when None.

    Raises:
        MismatchError: Model and index do not belong together, or are not those of the release.
        CorruptArtifact: A file is missing or damaged.
    """

    def __init__(
        self, root: Path, hold: ReleaseLock, encoders: Encoders, dense: DenseSearch | None = None
    ) -> None:
        self._hold = hold
        self.number = hold.number
        self.source: Source = hold.number
        self.release = read_release(root, hold.number)
        require_served(root, self.release)
        model, index, vectors = (self.release.ref(root, name) for name in ("model", "index", "vectors"))
        self.info = _require_pair(self.release, model, index)
        self._encoders, self._model, self._vectors = encoders, model, vectors
        self._dense_search = dense
        self.documents = Documents(index.path)
        _require_count(self.documents, self.info, index)
        self.filter = MetadataFilter(self.documents)
        self._index = index
        self._bm25: BM25Index | None = None
        self._opening = threading.Lock()
        self._sparse: SparseIndex | None = None

    def __len__(self) -> int:
        return self.info.count

    @property
    def plan(self) -> SearchPlan:
        """How this release is searched unless told otherwise."""
        if not self._index.file(BM25_DIR).is_dir():
            return DENSE
        plan = self.release.search
        return plan if self._index.file(SPARSE_DIR).is_dir() else plan.without_sparse()

    @cached_property
    def encoder(self) -> QueryBatcher:
        """The model."""
        return self._encoders.get(self._model)

    @cached_property
    def dense_index(self) -> DenseIndex:
        """The vectors' index."""
        return DenseIndex.open(self._index.path, Vectors(self._vectors.path))

    def open_all(self) -> None:
        """Load model and index now, so that no search waits for them and what is damaged shows here."""
        _ = self.encoder, self.dense_index

    @cached_property
    def moments(self) -> VectorMoments:
        """Moments of all the vectors, which dense scores are standardised by."""
        return VectorMoments.load(self._index.file(MOMENTS_FILE))

    def prepare_like(self, other: Snapshot) -> None:
        """Open now what its own plan or the searches of another snapshot need, so that none has to wait."""
        if self._index.file(BM25_DIR).is_dir() and (other._bm25 is not None or self.plan.mode != "dense"):
            self._open_bm25()
        if self.plan.sparse_weight:
            self._open_sparse()

    def rank(self, queries: Sequence[str], k: int, plan: SearchPlan, filters: Filters | None) -> Hits:
        """The k best rows of each query."""
        allowed = self.filter.rows(filters) if filters else None
        if plan.mode == "bm25":
            no_rows = np.empty((len(queries), 0), np.int64)
            return lexical_scores(self._open_bm25(), queries, k, no_rows, allowed).hits
        vectors = self.encoder.encode(queries)
        if plan.mode == "dense":
            return self._dense(vectors, k, allowed)
        self._open_bm25()
        if plan.sparse_weight:
            self._open_sparse()
        return self._rankers(allowed).search(queries, vectors, k, plan)

    def _rankers(self, allowed: Rows | None) -> Rankers:
        return Rankers(
            dense=lambda vectors, k: self._dense(vectors, min(k, len(self)), allowed),
            lexical=lambda queries, k, rows: lexical_scores(self._open_bm25(), queries, k, rows, allowed),
            vectors_of=self.dense_index.vectors.take,
            moments=self.moments,
            to_scores=self.dense_index.in_score_space,
            sparse=lambda queries, k, rows: lexical_scores(self._open_sparse(), queries, k, rows, allowed),
        )

    def _dense(self, vectors: Floats, k: int, allowed: Rows | None) -> Hits:
        search = self._dense_search or self.dense_index.search
        if allowed is None:
            return search(vectors, k)
        if len(allowed) <= EXACT_FILTER:
            return _exact_among(self.dense_index, vectors, allowed, k)
        return _oversampled(search, len(self), vectors, allowed, k)

    def _open_bm25(self) -> BM25Index:
        with self._opening:
            if self._bm25 is None:
                self._bm25 = open_bm25(self._index.path)
            return self._bm25

    def _open_sparse(self) -> SparseIndex:
        with self._opening:
            if self._sparse is None:
                self._sparse = open_sparse(self._index.path)
            return self._sparse


class Encoders:
    """Loaded models by content digest; the two used last are kept, so that a rollback is instant."""

    KEPT = 2

    def __init__(self, load: Callable[[Path], Encoder] | None = None) -> None:
        self._load = load
        self._loaded: dict[str, QueryBatcher] = {}
        self._guard = threading.Lock()

    def get(self, model: ArtifactRef) -> QueryBatcher:
        """The model, loaded at most once while it is in use."""
        with self._guard:
            encoder = self._loaded.pop(model.digest, None)
            if encoder is None:
                encoder = QueryBatcher((self._load or _local)(model.path))
                encoder.encode(["warm"])  # the first call of a model is many times slower than the next
            self._loaded[model.digest] = encoder
            while len(self._loaded) > self.KEPT:
                self._loaded.pop(next(iter(self._loaded)))
            return encoder


def _local(folder: Path) -> Encoder:
    from embedlib.models.local import load_encoder

    return load_encoder(folder)


def _require_pair(release: Release, model: ArtifactRef, index: ArtifactRef) -> IndexInfo:
    info = IndexInfo.read(index.path)
    if info.model_digest != model.digest:
        raise MismatchError(
            f"release {release.number} pairs a model with another model's index",
            where=str(index.path),
            expected=f"model {model.digest}",
            found=f"model {info.model_digest}",
            remedy="`embedlib rollback`, or build the index with this model",
        )
    return info


def _require_count(documents: Documents, info: IndexInfo, index: ArtifactRef) -> None:
    if len(documents) != info.count:
        raise CorruptArtifact(
            "index and documents differ in number",
            where=str(index.path),
            expected=f"{info.count} documents",
            found=f"{len(documents)} documents",
            remedy="delete the index artifact; the next run builds it anew",
        )


def _exact_among(index: DenseIndex, queries: Floats, allowed: Rows, k: int) -> Hits:
    if not len(allowed):
        return empty_hits(len(queries), k)
    hits = exact_search(queries, block_of(index.vectors.take(allowed)), min(k, len(allowed)))
    return Hits(np.where(hits.rows == NO_ROW, NO_ROW, allowed[hits.rows]), hits.scores)


def _oversampled(search: DenseSearch, count: int, queries: Floats, allowed: Rows, k: int) -> Hits:
    """Ask for more than k of ``count``, drop what is not allowed, and ask on while k are not reached."""
    wanted = min(k, len(allowed))
    is_allowed = np.zeros(count, dtype=bool)
    is_allowed[allowed] = True
    depth = 2 * wanted * count // len(allowed)
    while True:
        hits = search(queries, depth)
        keep = (hits.rows != NO_ROW) & is_allowed[hits.rows]
        if (keep.sum(axis=1) >= wanted).all() or depth >= count:
            return keep_hits(hits, keep, wanted)
        depth *= 4

"""Search in a FAISS index by corpus row, with optional rescoring by the stored vectors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from embedlib.contracts import Floats, Rows
from embedlib.errors import DataError, MismatchError
from embedlib.index.info import INDEX_FILE, IndexInfo, SearchSettings, open_index
from embedlib.models.encoder import truncate
from embedlib.retrieval.dense import exact_search
from embedlib.retrieval.hits import Hits, sort_hits
from embedlib.vectors import Vectors

#: Below this many queries one thread is faster: FAISS spreads queries over threads, and a team of
#: idle threads for every searching thread of a server costs the others their cores.
FEW = 8


@contextmanager
def faiss_threads(count: int | None) -> Iterator[None]:
    """Run FAISS on ``count`` threads (all cores when None) and restore the number after."""
    import faiss

    before = faiss.omp_get_max_threads()
    if count is not None:
        faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def scored_dimension(settings: SearchSettings, indexed: int, stored: int) -> int:
    """Components that an index's hits are scored by, of those indexed and those stored."""
    return stored if settings.rescore else indexed


def apply_settings(index: Any, settings: SearchSettings) -> None:
    """Set the search parameter on an index that no other thread searches yet."""
    if settings.parameter is not None:
        import faiss

        faiss.ParameterSpace().set_index_parameter(index, settings.parameter, float(settings.value or 1))


class DenseIndex:
    """A FAISS index over corpus rows; the full vectors serve rescoring and exact answers."""

    def __init__(self, index: Any, vectors: Vectors, settings: SearchSettings) -> None:
        apply_settings(index, settings)
        self.index, self.vectors, self.settings = index, vectors, settings
        self.normalized = vectors.info.normalized

    @classmethod
    def open(cls, folder: Path, vectors: Vectors) -> DenseIndex:
        """Open an index artifact with the vectors it was made from.

        Raises:
            CorruptArtifact: A file is damaged.
            MismatchError: Index and vectors differ in model, number or dimension.
        """
        info = IndexInfo.read(folder)
        index = open_index(folder / INDEX_FILE)
        _require_same(info, index, vectors, folder)
        return cls(index, vectors, info.settings)

    def __len__(self) -> int:
        return int(self.index.ntotal)

    @property
    def dimension(self) -> int:
        """Components of a query: those of the full vectors."""
        return self.vectors.dimension

    def in_score_space(self, vectors: Floats) -> Floats:
        """Full vectors [n, dimension] as hits are scored: whole where they are rescored, else as indexed."""
        dimension = scored_dimension(self.settings, int(self.index.d), self.dimension)
        return truncate(vectors, dimension, self.normalized)

    def search(self, queries: Floats, k: int, *, complete: bool = True) -> Hits:
        """The k nearest rows of each query by inner product.

        Args:
            queries: [q, dimension].
            k: Hits per query; the corpus size when it is larger.
            complete: Answer a query exactly where the lists or the beam held fewer than k; tuning
                measures without, or too little effort would look perfect.

        Returns:
            Hits [q, k], ordered by (-score, row).

        Raises:
            DataError: Wrong dimension, or a query that is not finite.
        """
        check_queries(queries, self.dimension)
        k = min(k, len(self))
        wanted = min(max(k * self.settings.rescore, k), len(self))
        searched = truncate(queries, self.index.d, self.normalized)
        with faiss_threads(1 if len(queries) < FEW else None):
            scores, rows = self.index.search(searched, min(wanted + 1, len(self)))
        if self._cuts_a_tie(scores, wanted):
            return self.exact(queries, k)
        short = (rows[:, :wanted] < 0).any(axis=1) & complete
        if self.settings.rescore:
            scores = self._score(queries, rows)
        hits = sort_hits(rows, scores, k)
        if short.any():
            hits.rows[short], hits.scores[short] = self.exact(queries[short], k)
        return hits

    def exact(self, queries: Floats, k: int) -> Hits:
        """Exact search over the stored vectors, for any k."""
        return exact_search(queries, self.vectors.blocks, k)

    def _cuts_a_tie(self, scores: Floats, wanted: int) -> bool:
        """Whether an exact index may have left out a lower row of the same score as the last hit."""
        is_exact = self.settings.parameter is None and not self.settings.rescore
        return (
            is_exact and scores.shape[1] > wanted and bool((scores[:, wanted - 1] == scores[:, wanted]).any())
        )

    def _score(self, queries: Floats, rows: Rows) -> Floats:
        flat = np.maximum(rows, 0).ravel()
        unique, position = np.unique(flat, return_inverse=True)
        vectors = self.vectors.take(unique)[position].reshape(*rows.shape, -1)  # [q, c, d]
        scores: Floats = np.einsum("qcd,qd->qc", vectors, queries, dtype=np.float32)
        return np.where(rows < 0, -np.inf, scores).astype(np.float32)


def check_queries(queries: Floats, dimension: int) -> None:
    """Refuse queries that no index can answer.

    Raises:
        DataError: Wrong dimension, NaN or infinity; the query's position is named.
    """
    if queries.ndim != 2 or queries.shape[1] != dimension:
        raise DataError(
            "query vectors of another dimension than the index",
            expected=f"[q, {dimension}]",
            found=str(list(queries.shape)),
            remedy="encode the queries with the model that encoded the documents",
        )
    bad = np.flatnonzero(~np.isfinite(queries).all(axis=1))
    if len(bad):
        raise DataError(f"query vector {bad[0]} is not finite", remedy="check the query's encoder")


def _require_same(info: IndexInfo, index: Any, vectors: Vectors, folder: Path) -> None:
    pairs = {
        "model": (info.model_digest, vectors.model_digest),
        "corpus": (info.corpus_digest, vectors.info.corpus_digest),
        "number of vectors": (int(index.ntotal), len(vectors)),
        "dimension": (info.vector_dimension, vectors.dimension),
    }
    for name, (found, expected) in pairs.items():
        if found != expected:
            raise MismatchError(
                f"index and vectors differ in {name}",
                where=str(folder),
                expected=str(expected),
                found=str(found),
                remedy="build the index from these vectors",
            )

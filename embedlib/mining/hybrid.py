"""The hybrid score: BM25 and dense scores, each standardised over a query's whole corpus, summed.

    h(q, d) = (bm25(q, d) - mean_q) / std_q  +  (q . d - mean_q) / std_q

It needs no label, no generator and no cross-encoder. Standardising over the whole corpus rather
than over a list makes scores of any two documents comparable, whichever list they came from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from embedlib.contracts import Floats, Rows
from embedlib.retrieval.bm25 import BM25Index
from embedlib.retrieval.hits import NO_ROW, Hits, empty_hits, top_rows

Doubles = npt.NDArray[np.float64]


class Moments(NamedTuple):
    """Mean and standard deviation of each query's scores over the corpus, float32 [q] each."""

    mean: Floats
    std: Floats

    def standardise(self, scores: Floats) -> Floats:
        """(score - mean) / std for scores [q, c]; 0 where the deviation is 0."""
        spread = np.where(self.std > 0, self.std, np.inf)[:, None]
        z: Floats = ((scores - self.mean[:, None]) / spread).astype(np.float32)
        return z


class VectorMoments(NamedTuple):
    """First and second moment of the corpus vectors: float64 [d] and [d, d]."""

    mean: Doubles
    second: Doubles

    def of_queries(self, queries: Floats) -> Moments:
        """Moments of each query's inner products with the whole corpus, without computing these.

        With mean vector m and second moment S: mean = q . m and variance = q' S q - (q . m)^2.
        """
        q = queries.astype(np.float64)
        mean = q @ self.mean
        variance = np.einsum("qd,de,qe->q", q, self.second, q, optimize=True) - mean**2
        return Moments(mean.astype(np.float32), np.sqrt(np.maximum(variance, 0)).astype(np.float32))


def vector_moments(blocks: Iterable[tuple[int, Floats]]) -> VectorMoments:
    """Moments of the corpus vectors in one pass over their blocks [b, d]."""
    count, total, second = 0, np.zeros(1), np.zeros((1, 1))
    for _, block in blocks:
        count += len(block)
        total = total + block.sum(axis=0, dtype=np.float64)
        second = second + (block.T @ block).astype(np.float64)
    return VectorMoments(total / max(count, 1), second / max(count, 1))


class Lexical(NamedTuple):
    """BM25 of a block of queries: its hits, its scores at other rows, its moments over the corpus."""

    hits: Hits
    at: Floats
    moments: Moments


def lexical_scores(index: BM25Index, queries: Sequence[str], k: int, rows: Rows) -> Lexical:
    """Search a block of queries and look up further documents, each query scored once.

    Args:
        index: BM25 of the corpus.
        queries: q texts.
        k: Hits a query.
        rows: int64 [q, c] rows to look up, -1 where there is none.
    """
    hits, at = empty_hits(len(queries), k), np.zeros(rows.shape, dtype=np.float32)
    mean, std = np.zeros(len(queries), np.float32), np.zeros(len(queries), np.float32)
    for i, query in enumerate(queries):
        scores = index.scores(query)
        found = np.flatnonzero(scores)
        values = scores[found]
        best, best_scores = top_rows(values, k, found)
        hits.rows[i, : len(best)], hits.scores[i, : len(best)] = best, best_scores
        at[i] = np.where(rows[i] == NO_ROW, 0.0, scores[rows[i]])
        mean[i], std[i] = _moments(values, len(scores))
    return Lexical(hits, at, Moments(mean, std))


def _moments(values: Floats, n: int) -> tuple[float, float]:
    """Mean and standard deviation of n scores of which all but ``values`` are 0."""
    mean = float(values.sum(dtype=np.float64)) / n
    square = float(np.square(values, dtype=np.float64).sum()) / n
    return mean, float(np.sqrt(max(square - mean**2, 0.0)))

"""BM25, or a sparse encoder, of a block of queries as fusion needs it: hits, other rows' scores, moments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from embedlib.contracts import Floats, Rows
from embedlib.retrieval.bm25 import BM25Index
from embedlib.retrieval.hits import NO_ROW, Hits, empty_hits, top_rows
from embedlib.retrieval.moments import Moments
from embedlib.retrieval.sparse import SparseIndex


class Lexical(NamedTuple):
    """A block of queries by their terms: hits, scores at other rows, moments over the corpus."""

    hits: Hits
    at: Floats
    moments: Moments


def lexical_scores(
    index: BM25Index | SparseIndex, queries: Sequence[str], k: int, rows: Rows, allowed: Rows | None = None
) -> Lexical:
    """Search a block of queries and look up further documents, each query scored once.

    Args:
        index: BM25 of the corpus, or a sparse encoder's term weights.
        queries: q texts.
        k: Hits per query.
        rows: int64 [q, c] rows to look up, -1 where there is none.
        allowed: Rows that may be hits, ascending; None: all. The moments are those of all documents.
    """
    hits, at = empty_hits(len(queries), k), np.zeros(rows.shape, dtype=np.float32)
    mean, std = np.zeros(len(queries), np.float32), np.zeros(len(queries), np.float32)
    for i, scores in enumerate(index.scores_of(queries)):
        found = np.flatnonzero(scores)
        mean[i], std[i] = _moments(scores[found], len(scores))
        if allowed is not None:
            found = allowed[scores[allowed] != 0]
        best, best_scores = top_rows(scores[found], k, found)
        hits.rows[i, : len(best)], hits.scores[i, : len(best)] = best, best_scores
        at[i] = np.where(rows[i] == NO_ROW, 0.0, scores[rows[i]])
    return Lexical(hits, at, Moments(mean, std))


def _moments(values: Floats, n: int) -> tuple[float, float]:
    """Mean and standard deviation of n scores of which all but ``values`` are 0."""
    mean = float(values.sum(dtype=np.float64)) / n
    square = float(np.square(values, dtype=np.float64).sum()) / n
    return mean, float(np.sqrt(max(square - mean**2, 0.0)))

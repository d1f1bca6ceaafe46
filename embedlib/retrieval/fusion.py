"""One ranking out of several."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from embedlib.contracts import Floats
from embedlib.errors import DataError
from embedlib.retrieval.hits import NO_ROW, Hits, sort_hits


def reciprocal_rank_fusion(hits: Sequence[Hits], k: int, constant: int = 60) -> Hits:
    """Sum of 1 / (constant + rank) over the rankings that hold a document.

    Cormack, Clarke and Buettcher, *Reciprocal rank fusion outperforms Condorcet*, SIGIR 2009.

    Args:
        hits: Rankings of the same queries over the same corpus, each [q, any width].
        k: Width of the result.
        constant: Damps the first ranks; 60 in the paper.
    """
    weights = [
        np.broadcast_to(1.0 / (constant + 1.0 + np.arange(h.rows.shape[1])), h.rows.shape).astype(np.float32)
        for h in hits
    ]
    return _sum_by_row(hits, weights, k)


def zscore_fusion(hits: Sequence[Hits], k: int) -> Hits:
    """Sum of each ranking's z-scored scores; a document that a ranking lacks gets that ranking's lowest.

    Args:
        hits: Rankings of the same queries over the same corpus, each [q, any width].
        k: Width of the result.
    """
    shifted = []
    for ranking in hits:
        z = _standardise(ranking)
        lowest = np.where(ranking.rows == NO_ROW, np.inf, z).min(axis=1, initial=np.inf, keepdims=True)
        # relative to the lowest, "absent" adds nothing: the order is that of the plain sum
        shifted.append(np.where(ranking.rows == NO_ROW, 0.0, z - lowest).astype(np.float32))
    return _sum_by_row(hits, shifted, k)


def _standardise(hits: Hits) -> Floats:
    """(score - mean) / standard deviation of each query's hits; 0 where all are equal."""
    found = hits.rows != NO_ROW
    scores = np.where(found, hits.scores, 0.0).astype(np.float64)
    n = np.maximum(found.sum(axis=1, keepdims=True), 1)
    mean = scores.sum(axis=1, keepdims=True) / n
    spread = np.sqrt(np.where(found, (scores - mean) ** 2, 0.0).sum(axis=1, keepdims=True) / n)
    z: Floats = np.where(spread > 0, (scores - mean) / np.where(spread > 0, spread, 1.0), 0.0).astype(
        np.float32
    )
    return z


def _sum_by_row(hits: Sequence[Hits], weights: Sequence[Floats], k: int) -> Hits:
    """Add up the weights of equal rows of each query and keep the k greatest sums."""
    if len({len(h.rows) for h in hits}) != 1:
        raise DataError(
            "rankings of different queries cannot be fused",
            expected="one number of queries",
            found=str([len(h.rows) for h in hits]) or "no ranking",
        )
    rows = np.concatenate([h.rows for h in hits], axis=1)  # [q, n]
    values = np.concatenate(weights, axis=1)
    order = np.argsort(rows, axis=1, kind="stable")
    rows, values = np.take_along_axis(rows, order, axis=1), np.take_along_axis(values, order, axis=1)
    first = np.ones_like(rows, dtype=bool)
    first[:, 1:] = rows[:, 1:] != rows[:, :-1]
    flat_sums = np.add.reduceat(values.ravel(), np.flatnonzero(first.ravel()))
    sums = np.zeros(rows.shape, dtype=np.float32)
    sums[first] = flat_sums
    return sort_hits(np.where(first, rows, NO_ROW), sums, k)

"""What a search returns, and the one order of hits: by (-score, row)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from embedlib.contracts import Floats, Rows

#: Stands in ``Hits.rows`` where a query has fewer than k hits; its score is -inf.
NO_ROW = -1


class Hits(NamedTuple):
    """The k best documents of each of q queries, best first, ties by row.

    Args:
        rows: int64 [q, k], -1 where there is no further hit.
        scores: float32 [q, k], -inf where there is no further hit.
    """

    rows: Rows
    scores: Floats


def empty_hits(queries: int, k: int) -> Hits:
    """Hits of ``queries`` queries that found nothing."""
    return Hits(
        np.full((queries, k), NO_ROW, dtype=np.int64), np.full((queries, k), -np.inf, dtype=np.float32)
    )


def top_rows(scores: Floats, k: int, rows: Rows | None = None) -> tuple[Rows, Floats]:
    """The k best of one query's candidates by (-score, row); fewer where there are fewer.

    Args:
        scores: float32 [n].
        k: How many at most.
        rows: int64 [n], ascending; the positions themselves if not given.

    Returns:
        rows int64 [<=k] and scores float32 [<=k].
    """
    if rows is None:
        rows = np.arange(len(scores), dtype=np.int64)
    if len(scores) > k:
        kth = np.partition(scores, len(scores) - k)[len(scores) - k]
        keep = scores >= kth
        scores, rows = scores[keep], rows[keep]
    order = np.argsort(-scores, kind="stable")[:k]
    return rows[order], scores[order]


def sort_hits(rows: Rows, scores: Floats, k: int) -> Hits:
    """Order candidates of each query by (-score, row) and cut at k; -1 rows sort last.

    Args:
        rows: int64 [q, n], -1 where there is no candidate.
        scores: float32 [q, n].
        k: Width of the result.
    """
    scores = np.where(rows == NO_ROW, np.float32(-np.inf), scores).astype(np.float32)
    order = np.lexsort((np.where(rows == NO_ROW, np.iinfo(np.int64).max, rows), -scores), axis=1)[:, :k]
    out = empty_hits(len(rows), k)
    out.rows[:, : order.shape[1]] = np.take_along_axis(rows, order, axis=1)
    out.scores[:, : order.shape[1]] = np.take_along_axis(scores, order, axis=1)
    return out

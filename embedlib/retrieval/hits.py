"""What a search returns, and the one order of hits: by (-score, row)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from embedlib.contracts import Floats, Rows

Bits = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
#: For each query the rows that are no hits of it; empty: none for any.
Excluded = Sequence[Collection[int]]

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
        k: Maximum number.
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


def unite(hits: Sequence[tuple[int, Hits]]) -> tuple[Rows, Bits]:
    """Distinct rows of each query over several searches, and who found them.

    Args:
        hits: (bit of the search, Hits [q, any width]).

    Returns:
        rows int64 [q, c] ascending, -1 after the last; uint8 [q, c], the bits of those that found them.
    """
    far = np.iinfo(np.int64).max
    rows = np.concatenate([h.rows for _, h in hits], axis=1)
    bits = np.concatenate([np.full(h.rows.shape, bit, dtype=np.uint8) for bit, h in hits], axis=1)
    rows = np.where(rows == NO_ROW, far, rows)
    order = np.argsort(rows, axis=1, kind="stable")
    rows, bits = np.take_along_axis(rows, order, axis=1), np.take_along_axis(bits, order, axis=1)
    for _ in range(len(hits) - 1):  # a row stands once for each search that found it
        same = rows[:, 1:] == rows[:, :-1]
        bits[:, 1:] |= np.where(same, bits[:, :-1], 0)
    last = np.ones_like(rows, dtype=bool)
    last[:, :-1] = rows[:, 1:] != rows[:, :-1]
    rows = np.where(last, rows, far)
    order = np.argsort(rows, axis=1, kind="stable")[
        :, : max(1, int((rows != far).sum(axis=1).max(initial=0)))
    ]
    rows, bits = np.take_along_axis(rows, order, axis=1), np.take_along_axis(bits, order, axis=1)
    return np.where(rows == far, NO_ROW, rows), np.where(rows == far, 0, bits).astype(np.uint8)


def look_up(rows: Rows, known: Rows, values: Floats) -> Floats:
    """The value of each of a query's rows, found among its known rows; 0 for -1 (every row is known).

    Args:
        rows: int64 [q, c].
        known: int64 [q, n], in any order, repeated rows with equal values, -1 where there is none.
        values: float32 [q, n].
    """
    top = int(max(rows.max(initial=0), known.max(initial=0))) + 2
    base = np.arange(len(rows), dtype=np.int64)[:, None] * top
    keys = (base + known + 1).ravel()
    order = np.argsort(keys, kind="stable")
    at = np.searchsorted(keys[order], (base + rows + 1).ravel())
    found = values.ravel()[order][np.minimum(at, len(order) - 1)].reshape(rows.shape)
    return np.where(rows == NO_ROW, np.float32(0), found)


def keep_hits(hits: Hits, keep: Mask, k: int | None = None) -> Hits:
    """The hits where ``keep`` [q, n] is True, moved up in their order, the first k of them (all: None)."""
    order = np.argsort(~keep, axis=1, kind="stable")[:, :k]
    kept = np.take_along_axis(keep, order, axis=1)
    rows = np.where(kept, np.take_along_axis(hits.rows, order, axis=1), NO_ROW)
    scores = np.where(kept, np.take_along_axis(hits.scores, order, axis=1), np.float32(-np.inf))
    return Hits(rows, scores.astype(np.float32))


def without(hits: Hits, excluded: Excluded) -> Hits:
    """Hits with each query's excluded rows taken out and the rest moved up."""
    if not any(excluded):
        return hits
    keep = np.ones(hits.rows.shape, dtype=bool)
    for position, gone in enumerate(excluded):
        if gone:
            keep[position] = ~np.isin(hits.rows[position], list(gone))
    return keep_hits(hits, keep)

"""Which candidates may be negatives: pure functions of arrays, True where a candidate is taken out.

Letters: q queries, c candidates of a query, p known positives of a query.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from embedlib.contracts import Floats, Rows
from embedlib.mining.options import Thresholds
from embedlib.models.encoder import unit_norm
from embedlib.retrieval.hits import NO_ROW, Mask


def same_row_or_text(rows: Rows, positives: Rows, classes: Rows) -> tuple[Mask, Mask]:
    """Candidates that are a known positive, and candidates whose text equals one's.

    Args:
        rows: int64 [q, c].
        positives: int64 [q, p], -1 where there is none.
        classes: int64 [n], equal for rows of equal text.

    Returns:
        Two masks [q, c]; the second is False where the first is True.
    """
    judged = _in_own(rows, positives)
    of = np.append(classes, NO_ROW)  # row -1 has no class
    same = _in_own(of[rows], of[positives]) & ~judged & (rows != NO_ROW)
    return judged, same


def near_duplicates(
    rows: Rows, positives: Rows, vectors_of: Callable[[Rows], Floats], threshold: float, chunk: int = 128
) -> Mask:
    """Candidates whose cosine with a known positive of their query is at least ``threshold``.

    Args:
        rows: int64 [q, c], -1 where there is nothing to look at.
        positives: int64 [q, p], -1 where there is none.
        vectors_of: float32 [n, d] of rows int64 [n].
        threshold: Cosine from which two documents count as one text.
        chunk: Queries whose vectors are in memory at a time.
    """
    out = np.zeros(rows.shape, dtype=bool)
    for low in range(0, len(rows), chunk):
        part, known = rows[low : low + chunk], positives[low : low + chunk]
        distinct = np.unique(np.concatenate([part.ravel(), known.ravel()]))
        distinct = distinct[distinct != NO_ROW]
        unit = unit_norm(vectors_of(distinct)) if len(distinct) else np.empty((0, 1), np.float32)
        for i in range(len(part)):
            places = np.flatnonzero(part[i] != NO_ROW)
            own = known[i][known[i] != NO_ROW]
            if len(places) and len(own):
                candidates = unit[np.searchsorted(distinct, part[i, places])]
                cosines = candidates @ unit[np.searchsorted(distinct, own)].T  # [c, p]
                out[low + i, places] = cosines.max(axis=1) >= threshold
    return out


def score_limits(scores: Floats, lowest: Floats, limits: Thresholds) -> dict[str, Mask]:
    """Candidates outside each limit, by the limit's name.

    The positive-aware percentage (NV-Retriever, arXiv 2407.15831) is written as a distance, so
    that it also holds for negative scores: s > s+ - m |s+|.

    Args:
        scores: float32 [q, c].
        lowest: float32 [q], the lowest score of a known positive.
        limits: Thresholds.
    """
    bar = lowest[:, None]
    out: dict[str, Mask] = {}
    if limits.absolute_margin is not None:
        out["absolute_margin"] = scores + np.float32(limits.absolute_margin) > bar
    if limits.relative_margin is not None:
        out["relative_margin"] = scores > bar - np.abs(bar) * np.float32(limits.relative_margin)
    if limits.max_score is not None:
        out["max_score"] = scores > np.float32(limits.max_score)
    if limits.min_score is not None:
        out["min_score"] = scores < np.float32(limits.min_score)
    return out


def first_ranks(keep: Mask, count: int) -> Mask:
    """The first ``count`` kept candidates of each query, in order, [q, c]."""
    return keep & (np.cumsum(keep, axis=1) <= count)


def lowest_scores(scores: Floats) -> Floats:
    """The lowest of each query's positive scores, float32 [q]; +inf where there is none.

    Args:
        scores: float32 [q, p], -inf where there is no positive.
    """
    lowest: Floats = np.where(np.isneginf(scores), np.float32(np.inf), scores).min(axis=1)
    return lowest


def _in_own(values: Rows, allowed: Rows) -> Mask:
    """Whether each value stands among its own query's allowed ones; -1 never does."""
    top = int(max(values.max(initial=0), allowed.max(initial=0))) + 1
    query = np.arange(len(values), dtype=np.int64)[:, None] * top
    keys = np.unique((query + allowed)[allowed != NO_ROW])
    wanted = query + values
    place = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
    if not len(keys):
        return np.zeros(values.shape, dtype=bool)
    found: Mask = (keys[place] == wanted) & (values != NO_ROW)
    return found

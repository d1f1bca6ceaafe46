"""Scores and rows as one integer each, so that the k best by (-score, row) are the k greatest keys.

key = order(score) << 32 | (2^32 - 1 - row), where order() turns a float32's bits into an integer of
the same order. Keys of distinct rows are distinct, so partial sorts need no care for ties.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from embedlib.contracts import Floats, Rows
from embedlib.retrieval.hits import NO_ROW, Hits

Keys = npt.NDArray[np.int64]

_LAST = np.int64(0xFFFFFFFF)

#: Times k: more candidates of a query than this are cut down before they are merged.
CROWD = 4
#: Queries are merged together whose numbers of candidates lie between two of these.
WIDTHS = (0, 32, 128, 512, 2048, 1 << 62)
#: Queries whose scores are partly sorted at once.
SORT_CHUNK = 64


def to_keys(scores: Floats, rows: Rows) -> Keys:
    """Keys of finite scores, int64 of the same shape.

    Rows are 0 to 2^32 - 2.
    """
    bits = (scores.astype(np.float32) + np.float32(0)).view(np.int32)  # + 0 makes -0.0 equal 0.0
    ordered = bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))
    keys: Keys = (ordered.astype(np.int64) << 32) | (_LAST - rows)
    return keys


def to_scores(keys: Keys) -> Floats:
    """The scores that are in keys, float32."""
    ordered = (keys >> 32).astype(np.int32)
    bits: npt.NDArray[np.int32] = ordered ^ ((ordered >> 31) & np.int32(0x7FFFFFFF))
    return bits.view(np.float32)


def to_rows(keys: Keys) -> Rows:
    """The rows that are in keys, int64; -1 where there is none."""
    return np.where(keys == EMPTY, NO_ROW, _LAST - (keys & _LAST))


def to_hits(keys: Keys) -> Hits:
    """Hits from keys [q, k] in any order."""
    best = -np.sort(-keys, axis=1)
    return Hits(to_rows(best), to_scores(best))


def keep_best(keys: Keys, more: Keys) -> Keys:
    """The k greatest of keys [q, k] and more [q, m], in any order."""
    k = keys.shape[1]
    both = np.concatenate([keys, more], axis=1)
    return np.partition(both, both.shape[1] - k, axis=1)[:, -k:]


def merge_block(best: Keys, scores: Floats, start: int) -> None:
    """Put a block's scores [q, b] into the best so far [q, k], in place.

    A later block's rows are higher, so a score equal to the k-th best never displaces it: only
    strictly greater ones are candidates, of a block as large as all before it about k a query.

    Args:
        best: Keys of the best so far.
        scores: float32.
        start: Row of the block's first document.
    """
    k, bar = best.shape[1], to_scores(best.min(axis=1))
    above = scores > bar[:, None]
    many = np.flatnonzero(np.count_nonzero(above, axis=1) > CROWD * k)
    place = scores.shape[1] - k
    for low in range(0, len(many), SORT_CHUNK):  # raise the bar to the k-th best of the block, ties included
        some = many[low : low + SORT_CHUNK]
        own = scores[some]
        above[some] = own >= np.partition(own, place, axis=1)[:, place, None]
    query, column = np.divmod(np.flatnonzero(above), scores.shape[1])
    merge_found(best, query, column, scores[query, column], start)


def merge_found(best: Keys, query: Rows, column: Rows, scores: Floats, start: int) -> None:
    """Put some documents of a block into the best so far [q, k], in place.

    Args:
        best: Keys of the best so far.
        query: int64 [n], ascending.
        column: int64 [n], documents within the block.
        scores: float32 [n].
        start: Row of the block's first document.
    """
    if not len(query):
        return
    keys = to_keys(scores, column.astype(np.int64) + start)
    first = np.flatnonzero(np.concatenate([[True], query[1:] != query[:-1]]))
    counts = np.diff(np.append(first, len(query)))
    for low, high in pairwise(WIDTHS):  # one query with very many would make the table wide for all
        some = np.flatnonzero((counts > low) & (counts <= high))
        if len(some):
            own = np.repeat(np.arange(len(some)), counts[some])
            place = np.arange(len(own)) - np.repeat(np.cumsum(counts[some]) - counts[some], counts[some])
            more = no_keys(len(some), int(counts[some].max()))
            more[own, place] = keys[first[some][own] + place]
            at = query[first[some]]
            best[at] = keep_best(best[at], more)


def no_keys(queries: int, k: int) -> Keys:
    """Keys of nothing found yet, [queries, k]: lower than every other key, score -inf."""
    return np.full((queries, k), EMPTY, dtype=np.int64)


#: The key of "nothing": score -inf, and a row that no document has.
EMPTY = to_keys(np.array([-np.inf], np.float32), np.array([0xFFFFFFFF], np.int64))[0]

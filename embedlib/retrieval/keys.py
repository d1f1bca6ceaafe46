"""Scores and rows as one integer each, so that the k best by (-score, row) are the k greatest keys.

key = order(score) << 32 | (2^32 - 1 - row), where order() turns a float32's bits into an integer of
the same order. Keys of distinct rows are distinct, so partial sorts need no care for ties.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from embedlib.contracts import Floats, Rows
from embedlib.retrieval.hits import NO_ROW, Hits

Keys = npt.NDArray[np.int64]

_LAST = np.int64(0xFFFFFFFF)


def to_keys(scores: Floats, rows: Rows) -> Keys:
    """Keys of finite scores, int64 of the same shape.

    Args:
        scores: float32, any shape.
        rows: int64 of the same shape, 0 to 2^32 - 2.
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


def to_hits(keys: Keys) -> Hits:
    """Hits from keys [q, k] in any order."""
    best = -np.sort(-keys, axis=1)
    rows = _LAST - (best & _LAST)
    return Hits(np.where(best == EMPTY, NO_ROW, rows), to_scores(best))


def keep_best(keys: Keys, more: Keys) -> Keys:
    """The k greatest of keys [q, k] and more [q, m], in any order."""
    k = keys.shape[1]
    both = np.concatenate([keys, more], axis=1)
    return np.partition(both, both.shape[1] - k, axis=1)[:, -k:]


def no_keys(queries: int, k: int) -> Keys:
    """Keys of nothing found yet, [queries, k]: lower than every other key, score -inf."""
    return np.full((queries, k), EMPTY, dtype=np.int64)


#: The key of "nothing": score -inf, and a row that no document has.
EMPTY = to_keys(np.array([-np.inf], np.float32), np.array([0xFFFFFFFF], np.int64))[0]

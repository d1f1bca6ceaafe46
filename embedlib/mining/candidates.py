"""Candidate negatives of a block of queries, united from several miners, with every score they need.

Letters: q queries, c candidates of a query, d components.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedlib.contracts import Floats, Rows
from embedlib.retrieval.hits import NO_ROW, Hits

Bits = npt.NDArray[np.uint8]

#: Bit of each miner in ``Candidates.miners``.
MINERS = {"dense": 1, "bm25": 2}
ORIGINS = {1: "dense", 2: "bm25", 3: "dense+bm25"}


@dataclass(frozen=True)
class Candidates:
    """Candidates of q queries, best first; empty places have row -1 and come last.

    Args:
        rows: int64 [q, c].
        miners: uint8 [q, c], who proposed each: bits of ``MINERS``.
        scores: float32 [q, c], what filters compare: cosine to the query, or the cross-encoder's score.
        ranking: float32 [q, c], what candidates are ordered by.
    """

    rows: Rows
    miners: Bits
    scores: Floats
    ranking: Floats

    def ordered(self) -> Candidates:
        """The same, ordered by (-ranking, row)."""
        absent = self.rows == NO_ROW
        ranking = np.where(absent, np.float32(-np.inf), self.ranking)
        order = np.lexsort((self.rows, -ranking, absent), axis=1)
        take = [np.take_along_axis(a, order, axis=1) for a in (self.rows, self.miners, self.scores, ranking)]
        return Candidates(*take)


def unite(hits: Sequence[tuple[int, Hits]]) -> tuple[Rows, Bits]:
    """Distinct rows of each query over several searches, and who found them.

    Args:
        hits: (bit of the miner, Hits [q, any width]).

    Returns:
        rows int64 [q, c] ascending, -1 after the last; miners uint8 [q, c].
    """
    far = np.iinfo(np.int64).max
    rows = np.concatenate([h.rows for _, h in hits], axis=1)
    bits = np.concatenate([np.full(h.rows.shape, bit, dtype=np.uint8) for bit, h in hits], axis=1)
    rows = np.where(rows == NO_ROW, far, rows)
    order = np.argsort(rows, axis=1, kind="stable")
    rows, bits = np.take_along_axis(rows, order, axis=1), np.take_along_axis(bits, order, axis=1)
    for _ in range(len(hits) - 1):  # a row stands once for each miner that found it
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


def dense_scores(
    queries: Floats, rows: Rows, vectors_of: Callable[[Rows], Floats], chunk: int = 128
) -> Floats:
    """Inner product of each query with each of its rows, ``chunk`` queries' vectors in memory at a time.

    Args:
        queries: float32 [q, d].
        rows: int64 [q, c], -1 where there is none.
        vectors_of: float32 [n, d] of rows int64 [n].
        chunk: Queries a step.

    Returns:
        float32 [q, c], -inf where there is no row.
    """
    out = np.full(rows.shape, -np.inf, dtype=np.float32)
    for low in range(0, len(queries), chunk):
        query, place = np.nonzero(rows[low : low + chunk] != NO_ROW)
        distinct, position = np.unique(rows[low + query, place], return_inverse=True)
        if len(distinct):
            documents = vectors_of(distinct)[position]  # [pairs, d]
            out[low + query, place] = np.einsum("nd,nd->n", queries[low + query], documents)
    return out

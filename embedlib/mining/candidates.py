"""Candidate negatives of a block of queries, with who proposed them and every score they need.

Letters: q queries, c candidates of a query.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from embedlib.contracts import Floats, Rows
from embedlib.retrieval.hits import NO_ROW, Bits

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

"""A first pass in bf16 that loses nothing: it finds every document that can be above a bar.

Rounding to bf16 (8 significant bits) changes a number by at most u = 2^-8 of itself. With both
factors and the result rounded, and sums kept in fp32,

    |bf16(q . d) - q . d| <= (2u + u^2) sum|q_i d_i| + u |q . d| (1 + ...) <= 3.1 u |q| |d|

by Cauchy and Schwarz. A document whose coarse score lies further than that below the bar is out;
the others are scored again in fp32.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from embedlib.contracts import Floats, Rows

#: Bound on the error of a coarse score, in units of |q| |d|.
ROUNDING = 3.1 * 2.0**-8
#: Candidates whose vectors are gathered at once.
GATHER = 8192
#: More candidates than this share of all are not worth a second pass.
WORTHWHILE = 0.05


class Coarse:
    """Scores one block of documents after the other in bf16.

    Args:
        queries: float32 [q, d], finite.
    """

    def __init__(self, queries: Floats) -> None:
        self.queries = queries
        self._rounded = _bf16(queries)
        self._lengths = np.linalg.norm(queries, axis=1)
        self._slack = self._lengths

    def set_block(self, block: Floats) -> None:
        """Take the documents [b, d] that ``above`` is about from now on."""
        self.block = block
        self._transposed = _bf16(block).T
        self._slack = np.float32(ROUNDING) * self._lengths * np.linalg.norm(block, axis=1).max()

    def above(self, part: slice, bar: Floats) -> tuple[Rows, Rows, Floats] | None:
        """Every document of the block that scores above a query's bar.

        Args:
            part: The queries, n of them.
            bar: float32 [n], finite.

        Returns:
            Query within the part, document within the block and exact score of each, by query and
            then document; None when there are too many for this to be the quicker way.
        """
        scores = self._rounded[part] @ self._transposed  # [n, b] bf16
        near = np.flatnonzero(_greater(scores, bar - self._slack[part]))
        if len(near) > WORTHWHILE * scores.shape[0] * scores.shape[1]:
            return None
        query, column = np.divmod(near, scores.shape[1])
        exact = np.empty(len(near), dtype=np.float32)
        own = self.queries[part]
        for low in range(0, len(near), GATHER):
            some = slice(low, low + GATHER)
            exact[some] = np.einsum("nd,nd->n", own[query[some]], self.block[column[some]])
        better = exact > bar[query]
        return query[better], column[better], exact[better]


def _bf16(vectors: Floats) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(vectors)).to(torch.bfloat16)


def _greater(scores: Any, bar: Floats) -> Any:
    """Where bf16 scores [n, b] exceed a bar [n], as a NumPy mask; nothing that does is missed.

    Positive bf16 numbers are ordered as their bits are as integers, which NumPy compares several
    times as fast; negative ones have the sign bit and lie below. A bar below zero is compared as float.
    """
    import torch

    if (bar < 0).any():
        return (scores > torch.from_numpy(bar)[:, None]).numpy()
    low = (bar.astype(np.float32).view(np.int32) >> 16).astype(np.int16)  # rounded towards zero
    return scores.view(torch.int16).numpy() >= low[:, None]

"""A first pass in bf16 that loses nothing: it finds every document that can be above a bar.

With q' and d' the vectors rounded to bf16, and sums kept in fp32,

    |q' . d' - q . d| <= |q' - q| |d'| + |q| |d' - d| + n 2^-23 |q| |d|

by Cauchy and Schwarz, the last term being what sums of n products in fp32 may be off. The product is
then rounded to bf16 itself, which keeps the order: rounding the lowered bar likewise misses nothing.
The documents that are left are scored again in fp32.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from embedlib.contracts import Floats, Rows

#: More candidates than this share of all are not worth gathering: fp32 multiplies 30 pairs in that time.
WORTHWHILE = 0.03


class Coarse:
    """Queries, rounded once for all blocks of documents.

    Args:
        queries: float32 [q, d], finite.
    """

    def __init__(self, queries: Floats) -> None:
        self.queries = queries
        self.rounded = _bf16(queries)
        self.lengths = np.linalg.norm(queries, axis=1)
        self.errors = _error(queries, self.rounded)

    def of(self, block: Floats) -> CoarseBlock:
        """The queries' scores on documents [b, d]."""
        return CoarseBlock(self, block)


class CoarseBlock:
    """Scores of one block of documents in bf16; safe to ask from several threads."""

    def __init__(self, queries: Coarse, block: Floats) -> None:
        self._of = queries
        self._block = block
        rounded = _bf16(block)
        longest = np.linalg.norm(block, axis=1).max()
        error = _error(block, rounded).max()
        sums = block.shape[1] * 2.0**-23 * longest
        self._transposed = rounded.T
        self._slack = queries.errors * (longest + error) + queries.lengths * np.float32(error + sums)

    def above(self, part: slice, bar: Floats) -> tuple[Rows, Rows, Floats] | None:
        """Every document of the block that scores above a query's bar.

        Args:
            part: The queries, n of them.
            bar: float32 [n], finite.

        Returns:
            Query within the part, document within the block and exact score of each, by query and
            then document; None when there are too many for this to be the quicker way.
        """
        scores = self._of.rounded[part] @ self._transposed  # [n, b] bf16
        near = np.flatnonzero(_reaches(scores, bar - self._slack[part]))
        if len(near) > WORTHWHILE * scores.shape[0] * scores.shape[1]:
            return None
        query, column = np.divmod(near, scores.shape[1])
        ends = np.searchsorted(query, np.arange(scores.shape[0] + 1))
        exact = np.empty(len(near), dtype=np.float32)
        for own, low, high in zip(self._of.queries[part], ends[:-1], ends[1:], strict=True):
            np.dot(self._block.take(column[low:high], axis=0), own, out=exact[low:high])
        better = exact > bar[query]
        return query[better], column[better], exact[better]


def _bf16(vectors: Floats) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(vectors)).to(torch.bfloat16)


def _error(vectors: Floats, rounded: Any) -> Floats:
    """Length of what rounding changed, [n]."""
    import torch

    return (torch.from_numpy(vectors) - rounded).norm(dim=1).numpy()  # type: ignore[no-any-return]


def _reaches(scores: Any, bar: Floats) -> Any:
    """Where bf16 scores [n, b] reach a bar [n] rounded to bf16, as a NumPy mask.

    Positive bf16 numbers are ordered as their bits are as integers, which NumPy compares several
    times as fast; negative ones, and a negative zero, have the sign bit and lie below. A bar that is
    not above zero is compared as float.
    """
    import torch

    low = torch.from_numpy(bar.astype(np.float32)).bfloat16()[:, None]
    if (low <= 0).any():
        return (scores >= low).numpy()
    return scores.view(torch.int16).numpy() >= low.view(torch.int16).numpy()

"""A shortlist in bf16 that loses nothing: every document that can be among the k best is on it.

With q' and d' the vectors rounded to bf16, and sums kept in fp32,

    |q' . d' - q . d| <= |q' - q| |d'| + |q| |d' - d| + n 2^-23 |q| |d|

by Cauchy and Schwarz, the last term being what sums of n products in fp32 may be off. The product is
then rounded to bf16 itself, which is off by 2^-8 of it at most. So a rounded score bounds the exact
one from above and from below. The 2k best rounded scores of each query are kept; of these, all whose
upper bound reaches the lower bound of the k-th are scored again in fp32, on a second reading. Where
that would be all of them, more may have been lost: such a query is unsure.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from embedlib.contracts import Floats, Rows
from embedlib.retrieval.hits import NO_ROW, Hits
from embedlib.retrieval.keys import (
    CROWD,
    EMPTY,
    keep_best,
    merge_block,
    merge_found,
    no_keys,
    to_hits,
    to_keys,
    to_rows,
    to_scores,
)

#: Documents kept a query, times k.
WIDER = 2
#: Relative error of a number rounded to bf16.
ROUNDING = np.float32(2.0**-8)


class Shortlist:
    """The best documents of each query, by rounded scores first and exact ones after.

    Every document goes through ``first``, then, after ``cut``, through ``second``. Both prepare a
    block and return what is to be done for a part of the queries: ``first`` in any thread, ``second``
    with every core.

    Args:
        queries: float32 [q, d], finite.
        k: Documents wanted a query.

    Attributes:
        unsure: Queries, int64, whose best may not all be there.
    """

    def __init__(self, queries: Floats, k: int) -> None:
        self.unsure: Rows = np.empty(0, dtype=np.int64)
        self._queries = queries
        self._k = k
        self._rounded = _bf16(queries)
        self._near = no_keys(len(queries), WIDER * k)
        self._longest = self._error = np.float32(0)

    def first(self, start: int, block: Floats) -> Callable[[slice], None]:
        """List a block's documents [b, d] by rounded scores."""
        rounded = _bf16(block)
        self._longest = max(self._longest, np.linalg.norm(block, axis=1).max())
        self._error = max(self._error, _error(block, rounded).max())
        return partial(self._list, start, rounded.T)

    def cut(self) -> None:
        """Keep the documents that can be among the k best."""
        rounded = to_scores(self._near)
        kth = np.partition(rounded, -self._k, axis=1)[:, -self._k]
        slack = self._slack()
        reaching = _farther(rounded, 1) + slack[:, None] >= (_farther(kth, -1) - slack)[:, None]
        self._rows = np.where(reaching, to_rows(self._near), NO_ROW)
        self._exact = np.full(reaching.shape, -np.inf, dtype=np.float32)
        self.unsure = np.flatnonzero((self._rows != NO_ROW).all(axis=1))

    def second(self, start: int, block: Floats) -> Callable[[slice], None]:
        """Score what is left of a block's documents [b, d] exactly."""
        return partial(self._score, start, block)

    def hits(self) -> Hits:
        """The k best by exact score, complete after the second reading."""
        listed = np.where(self._rows == NO_ROW, EMPTY, to_keys(self._exact, self._rows))
        return to_hits(keep_best(no_keys(len(listed), self._k), listed))

    def _list(self, start: int, transposed: Any, part: slice) -> None:
        best, scores = self._near[part], self._rounded[part] @ transposed  # [n, b] bf16
        found = np.flatnonzero(_exceeds(scores, to_scores(best.min(axis=1))))
        if len(found) > CROWD * best.size:
            merge_block(best, scores.float().numpy(), start)
        else:
            query, column = np.divmod(found, scores.shape[1])
            merge_found(best, query, column, _at(scores, found), start)

    def _score(self, start: int, block: Floats, part: slice) -> None:
        import faiss

        rows = self._rows[part] - start
        inside = (rows >= 0) & (rows < len(block))
        rows[~inside] = NO_ROW  # passed over
        scores = np.empty(rows.shape, dtype=np.float32)
        pointers = map(faiss.swig_ptr, (scores, self._queries[part], block, rows))
        faiss.fvec_inner_products_by_idx(*pointers, block.shape[1], *rows.shape)  # type: ignore[attr-defined]
        np.copyto(self._exact[part], scores, where=inside)

    def _slack(self) -> Floats:
        """How far a product of rounded vectors may be from the exact one, [q]."""
        lengths = np.linalg.norm(self._queries, axis=1)
        sums = self._queries.shape[1] * np.float32(2.0**-23) * self._longest
        away = _error(self._queries, self._rounded) * (self._longest + self._error)
        slack: Floats = away + lengths * (self._error + sums)
        return slack


def _farther(scores: Floats, sign: int) -> Floats:
    """The highest (sign 1) or lowest (-1) number that may have been rounded to each score."""
    farther: Floats = scores * (1 + sign * np.copysign(ROUNDING, scores))
    return farther


def _bf16(vectors: Floats) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(vectors)).to(torch.bfloat16)


def _error(vectors: Floats, rounded: Any) -> Floats:
    """Length of what rounding changed, [n]."""
    import torch

    return (torch.from_numpy(vectors) - rounded).norm(dim=1).numpy()  # type: ignore[no-any-return]


def _exceeds(scores: Any, bar: Floats) -> Any:
    """Where bf16 scores [n, b] are above a bar [n] that is a bf16 number, as a NumPy mask.

    Positive bf16 numbers are ordered as their bits are as integers, which NumPy compares several
    times as fast; negative ones, and a negative zero, have the sign bit and lie below. A bar that is
    not above zero is compared as float.
    """
    import torch

    low = torch.from_numpy(bar).bfloat16()[:, None]
    if (low <= 0).any():
        return (scores > low).numpy()
    return scores.view(torch.int16).numpy() > low.view(torch.int16).numpy()


def _at(scores: Any, places: Rows) -> Floats:
    """bf16 scores at flat places, as float32: a bf16 number is the upper half of a float32's bits."""
    import torch

    halves = scores.view(torch.int16).numpy().reshape(-1)[places]
    values: Floats = (halves.astype(np.int32) << 16).view(np.float32)
    return values

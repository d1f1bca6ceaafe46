"""One ranking out of two or three: vectors, BM25, a sparse encoder. Search, evaluation and teacher fuse here.

    f(q, d) = z(q . d) + w z(bm25(q, d)) + v z(sparse(q, d)),   z over the query's whole corpus

A convex combination of standardised scores beats rank fusion in and out of domain (Bruch, Gai and
Ingber, *An analysis of fusion functions for hybrid retrieval*, TOIS 2023). Letters: q queries, c
candidates of a query, d components.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from embedlib.contracts import Floats, Rows
from embedlib.errors import DataError
from embedlib.retrieval.dense import dense_scores
from embedlib.retrieval.hits import NO_ROW, Excluded, Hits, look_up, sort_hits, unite, without
from embedlib.retrieval.lexical import Lexical
from embedlib.retrieval.moments import Moments, VectorMoments
from embedlib.retrieval.plan import Feedback, SearchPlan

#: Hits of each ranking that are fused, where not more are asked for: the union of two lists of a
#: hundred gives the full ranking's nDCG@10 to .0001.
FUSION_DEPTH = 100
#: Both rankings must share a document among so many for feedback to be trusted.
AGREEMENT_DEPTH = 10


def fused_scores(
    dense: Floats,
    lexical: Floats,
    dense_moments: Moments,
    lexical_moments: Moments,
    weight: float,
    sparse: tuple[Floats, Moments, float] | None = None,
) -> Floats:
    """z(dense) + weight * z(lexical) + ...; the lexical z-score alone where the weight is infinite.

    Args:
        dense: Inner products, float32 [q, c].
        lexical: BM25 scores of the same documents, float32 [q, c].
        dense_moments: Of each query's inner products with the whole corpus.
        lexical_moments: Of each query's BM25 scores over the whole corpus.
        weight: BM25's weight, at least 0.
        sparse: A third ranking's scores [q, c], moments and weight.

    Returns:
        float32 [q, c], higher is more relevant.
    """
    z_lexical = lexical_moments.standardise(lexical)
    if math.isinf(weight):
        return z_lexical
    z: Floats = dense_moments.standardise(dense) + np.float32(weight) * z_lexical
    if sparse is not None:
        scores, moments, sparse_weight = sparse
        z += np.float32(sparse_weight) * moments.standardise(scores)
    return z


class Gathered(NamedTuple):
    """What the rankings hold of q queries: enough to fuse them by any plan.

    Args:
        dense: The dense ranking's hits.
        lexical: BM25's hits.
        rows: int64 [q, c] the hits of either, ascending, -1 after the last.
        dense_scores: float32 [q, c].
        lexical_scores: float32 [q, c].
        moments: Of the dense scores and of BM25's.
        sparse: The third ranking with its scores of the same rows, where it was asked.
    """

    dense: Hits
    lexical: Hits
    rows: Rows
    dense_scores: Floats
    lexical_scores: Floats
    moments: tuple[Moments, Moments]
    sparse: Lexical | None = None

    def fuse(self, k: int, plan: SearchPlan) -> Hits:
        """The k best rows of each query by the rankings, ties by row."""
        if plan.fusion == "rrf":
            third = [self.sparse.hits] if self.sparse else []
            return reciprocal_rank_fusion([self.dense, self.lexical, *third], k)
        third_scores = (self.sparse.at, self.sparse.moments, plan.sparse_weight) if self.sparse else None
        scores = fused_scores(
            self.dense_scores, self.lexical_scores, *self.moments, plan.weight, third_scores
        )
        return sort_hits(self.rows, scores, k)


@dataclass(frozen=True)
class Rankers:
    """The two rankings of one corpus, and what is needed to score any document by both.

    Args:
        dense: Hits of query vectors [q, d], k a query; their scores need not be exact.
        lexical: BM25 hits of the queries' texts, k a query, and BM25 scores at further rows [q, c].
        vectors_of: Vectors of rows [n], float32 [n, d].
        moments: Of all the corpus's vectors, as ``to_scores`` makes them.
        to_scores: What vectors [n, d] are scored as, such as their first components; themselves if not given.
        sparse: Like ``lexical``, by a sparse encoder; asked only where a plan gives it a weight.
    """

    dense: Callable[[Floats, int], Hits]
    lexical: Callable[[Sequence[str], int, Rows], Lexical]
    vectors_of: Callable[[Rows], Floats]
    moments: VectorMoments
    to_scores: Callable[[Floats], Floats] = np.asarray
    sparse: Callable[[Sequence[str], int, Rows], Lexical] | None = None

    def search(
        self, texts: Sequence[str], queries: Floats, k: int, plan: SearchPlan, excluded: Excluded = ()
    ) -> Hits:
        """The k best documents of each query by both rankings, ties by row.

        Candidates are the hits of either ranking, ``FUSION_DEPTH`` of each or k where that is more.

        Args:
            texts: The queries, [q].
            queries: Their vectors, float32 [q, d].
            k: Hits per query.
            plan: How the rankings are fused; its mode is not looked at.
            excluded: Rows that are no hits, for each query; none where empty.
        """
        gathered = self.gather(texts, queries, max(k, FUSION_DEPTH), excluded, plan.sparse_weight > 0)
        return self.fuse(gathered, texts, queries, k, plan, excluded)

    def gather(
        self,
        texts: Sequence[str],
        queries: Floats,
        depth: int,
        excluded: Excluded = (),
        with_sparse: bool = False,
    ) -> Gathered:
        """Ask the rankings for ``depth`` hits per query, and score every hit by each of them.

        Raises:
            DataError: The sparse encoder is to be asked, and there is none.
        """
        dense = without(self.dense(queries, depth), excluded)
        lexical = self.lexical(texts, depth, dense.rows)
        hits = without(lexical.hits, excluded)
        known = np.concatenate([dense.rows, hits.rows], axis=1)
        values = np.concatenate([lexical.at, hits.scores], axis=1)
        if not with_sparse:
            rows, _ = unite([(1, dense), (2, hits)])
            sparse = None
        else:
            third = self._sparse(texts, depth, known)
            more = without(third.hits, excluded)
            rows, _ = unite([(1, dense), (2, hits), (4, more)])
            known = np.concatenate([known, more.rows], axis=1)
            values = np.concatenate([values, self.lexical(texts, 1, more.rows).at], axis=1)
            theirs = np.concatenate([third.at, more.scores], axis=1)
            sparse = Lexical(more, look_up(rows, known, theirs), third.moments)
        scored = self.to_scores(queries)
        exact = dense_scores(scored, rows, lambda wanted: self.to_scores(self.vectors_of(wanted)))
        moments = (self.moments.of_queries(scored), lexical.moments)
        return Gathered(dense, hits, rows, exact, look_up(rows, known, values), moments, sparse)

    def _sparse(self, texts: Sequence[str], depth: int, rows: Rows) -> Lexical:
        if self.sparse is None:
            raise DataError(
                "a sparse ranking is to be fused, and there is none",
                expected="a plan with sparse_weight 0, or a sparse encoder",
                remedy="name a sparse encoder in sparse.model and run again",
            )
        return self.sparse(texts, depth, rows)

    def fuse(
        self,
        gathered: Gathered,
        texts: Sequence[str],
        queries: Floats,
        k: int,
        plan: SearchPlan,
        excluded: Excluded = (),
    ) -> Hits:
        """``search`` where the first round is gathered already."""
        fused = gathered.fuse(k, plan)
        if plan.feedback is None:
            return fused
        again = np.flatnonzero(rankings_agree(gathered.dense, gathered.lexical)).tolist()
        if not again:
            return fused
        first = gathered.fuse(plan.feedback.documents, plan).rows[again]
        moved = self._moved(queries[again], first, plan.feedback)
        left_out = [excluded[i] for i in again] if excluded else ()
        some = [texts[i] for i in again]
        second = self.gather(some, moved, max(k, FUSION_DEPTH), left_out, plan.sparse_weight > 0)
        fused.rows[again], fused.scores[again] = second.fuse(k, plan)
        return fused

    def _moved(self, queries: Floats, first: Rows, feedback: Feedback) -> Floats:
        """Each query moved towards its first documents [q, documents], of the length that it had, [q, d]."""
        there = first != NO_ROW
        distinct, position = np.unique(np.where(there, first, first[:, :1]), return_inverse=True)
        documents = self.vectors_of(distinct)[position].reshape(*first.shape, -1)  # [q, documents, d]
        centre = (documents * there[:, :, None]).sum(axis=1) / there.sum(axis=1)[:, None]
        return rocchio(queries, centre, feedback.alpha)


def rocchio(queries: Floats, centre: Floats, alpha: float) -> Floats:
    """norm(alpha q + (1 - alpha) centre), at the length of q, [q, d]; only the direction is moved."""
    length = np.linalg.norm(queries, axis=1, keepdims=True)
    moved = alpha * queries + (1 - alpha) * centre
    norm = np.linalg.norm(moved, axis=1, keepdims=True)
    out: Floats = (moved * (length / np.where(norm > 0, norm, 1.0))).astype(np.float32)
    return out


def rankings_agree(one: Hits, other: Hits) -> npt.NDArray[np.bool_]:
    """Whether the first ``AGREEMENT_DEPTH`` of two rankings share a document, bool [q]."""
    a, b = one.rows[:, :AGREEMENT_DEPTH, None], other.rows[:, None, :AGREEMENT_DEPTH]
    shared: npt.NDArray[np.bool_] = ((a == b) & (a != NO_ROW)).any(axis=(1, 2))
    return shared


def reciprocal_rank_fusion(hits: Sequence[Hits], k: int, constant: int = 60) -> Hits:
    """Sum of 1 / (constant + rank) over the rankings that hold a document.

    Cormack, Clarke and Buettcher, *Reciprocal rank fusion outperforms Condorcet*, SIGIR 2009.

    Args:
        hits: Rankings of the same queries over the same corpus, each [q, any width].
        k: Width of the result.
        constant: Damps the first ranks; 60 in the paper.

    Raises:
        DataError: The rankings are of different queries.
    """
    if len({len(h.rows) for h in hits}) != 1:
        raise DataError(
            "rankings of different queries cannot be fused",
            expected="one number of queries",
            found=str([len(h.rows) for h in hits]) or "no ranking",
        )
    rows = np.concatenate([h.rows for h in hits], axis=1)  # [q, n]
    ranks = np.concatenate([np.arange(1, h.rows.shape[1] + 1) for h in hits])
    values = np.broadcast_to(1.0 / (constant + ranks), rows.shape).astype(np.float32)
    order = np.argsort(rows, axis=1, kind="stable")
    rows, values = np.take_along_axis(rows, order, axis=1), np.take_along_axis(values, order, axis=1)
    first = np.ones_like(rows, dtype=bool)
    first[:, 1:] = rows[:, 1:] != rows[:, :-1]
    flat_sums = np.add.reduceat(values.ravel(), np.flatnonzero(first.ravel()))
    sums = np.zeros(rows.shape, dtype=np.float32)
    sums[first] = flat_sums
    return sort_hits(np.where(first, rows, NO_ROW), sums, k)

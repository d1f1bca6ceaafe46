"""A reranker behind a ranking: how deep it reads and how much it counts, chosen on dev.

Letters: q queries, k hits a query, d of them read by the reranker.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from embedlib.contracts import Corpus, Doubles, Floats
from embedlib.evaluation.judged import JudgedSet
from embedlib.evaluation.model_on_set import DenseSystem, ModelOnSet, own_rows_of
from embedlib.evaluation.significance import standard_error
from embedlib.evaluation.systems import query_values
from embedlib.retrieval.bm25 import build_bm25
from embedlib.retrieval.hits import NO_ROW, Hits
from embedlib.retrieval.plan import SearchPlan, TwoStagePlan
from embedlib.retrieval.rerank import PairScorer, interpolate, score_rows
from embedlib.retrieval.sparse import SparseIndex

#: Depths that are tried.
DEPTHS = (10, 20, 30, 50, 100, 200, 500, 1000)
#: Weights that are tried, in units in which both stages' scores spread alike over a query's hits.
WEIGHTS = (0.25, 0.5, 1.0, 2.0, 4.0, 16.0)
#: Dev queries that choose, at most, and those whose time is taken.
MOST_QUERIES, TIMED_QUERIES = 200, 30
#: Documents a query that are measured.
MEASURED = 100


class Tried(NamedTuple):
    """Depth and weight, and a value for each dev query, [q]."""

    plan: TwoStagePlan
    values: Doubles


class FirstStage:
    """What is served of one judged set without a reranker, and what a reranker makes of it.

    ``measure`` values the first ``MEASURED`` documents of each answer.
    """

    def __init__(
        self,
        corpus: Corpus,
        judged: JudgedSet,
        system: DenseSystem,
        plan: SearchPlan,
        measure: str,
        sparse: SparseIndex | None = None,
    ) -> None:
        own = own_rows_of(corpus, judged)
        bm25 = None if plan.mode == "dense" else build_bm25(judged.texts(corpus.texts()))
        self.judged, self._measure = judged, measure
        terms = sparse.with_texts(judged.withheld) if sparse is not None else None
        self.hits = ModelOnSet(judged, system, bm25, own, terms).served(judged.reach(MEASURED, own), plan)
        self.texts_of = partial(judged.texts_at, corpus)

    def values(self, hits: Hits) -> Doubles:
        """The measure of each query, [q]."""
        return query_values(self.judged, hits, self._measure, MEASURED)

    def scores(self, score: PairScorer, depth: int) -> Floats:
        """The reranker's scores of the first hits, [q, d]."""
        return score_rows(score, self.judged.query_texts, self.hits.rows[:, :depth], self.texts_of)

    def both_values(self, score: PairScorer, plan: TwoStagePlan) -> Doubles:
        """The measure of each query where a reranker orders the hits anew, [q]."""
        return self.values(interpolate(self.hits, self.scores(score, plan.depth), plan.weight))

    def seconds(self, score: PairScorer, depth: int) -> Doubles:
        """Time that a query's re-ranking takes, each query alone as users ask them, its documents at hand."""
        taken = []
        for query, rows in zip(self.judged.query_texts[:TIMED_QUERIES], self.hits.rows, strict=False):
            read = rows[:depth]
            pairs = [(query, text) for text in self.texts_of(read[read != NO_ROW])]
            started = time.perf_counter()
            if pairs:
                score(pairs)
            taken.append(time.perf_counter() - started)
        return np.array(taken)


def time_depths(first: FirstStage, score: PairScorer, most: int, budget_ms: float) -> dict[int, float]:
    """Milliseconds that 95 of 100 queries stay under, by depth, up to the first beyond the budget.

    Depths beyond the number of hits are not tried.
    """
    width = min(most, first.hits.rows.shape[1])
    found: dict[int, float] = {}
    first.scores(score, 1)  # the first calls of a model are many times slower than the next
    for depth in sorted({width, *(d for d in DEPTHS if d < width)}):
        found[depth] = 1000 * float(np.quantile(first.seconds(score, depth), 0.95))
        if found[depth] > budget_ms:
            break
    return found


def calibrate(
    first: Hits, scores: Floats, values_of: Callable[[Hits], Doubles], depths: Sequence[int]
) -> list[Tried]:
    """Every depth with the weight that is best for it on dev, the least depth first.

    Args:
        first: Hits of the first stage, [q, k].
        scores: The reranker's scores of the first d, [q, d].
        values_of: The measure of hits, by query.
        depths: Depths to try, rising, none above d.

    Returns:
        Nothing where the reranker tells no two hits apart.
    """
    unit = _spread(first.scores[:, : scores.shape[1]], first.rows) / (_spread(scores, first.rows) or np.inf)
    found = []
    for depth in depths if unit > 0 else ():
        tried = []
        for weight in WEIGHTS:
            plan = TwoStagePlan(depth=depth, weight=float(f"{weight * unit:.4g}"))
            tried.append(Tried(plan, values_of(interpolate(first, scores[:, :depth], plan.weight))))
        found.append(max(tried, key=lambda t: t.values.mean()))
    return found


def least_depth(tried: Sequence[Tried]) -> Tried:
    """The least depth whose dev values are within one standard error of the best depth's.

    The one-standard-error rule (Breiman et al., *Classification and Regression Trees*, 1984).
    """
    best = max(tried, key=lambda t: t.values.mean())
    return next(t for t in tried if _within_noise(best.values - t.values))


def _within_noise(d: Doubles) -> bool:
    return bool(d.mean() <= (standard_error(d) if len(d) > 1 else 0.0))


def _spread(scores: Floats, rows: npt.NDArray[np.int64]) -> float:
    """Mean over the queries of the standard deviation of a query's scores."""
    there = rows[:, : scores.shape[1]] != NO_ROW
    deviations = [float(s[t].std()) for s, t in zip(scores, there, strict=True) if t.any()]
    return float(np.mean(deviations)) if deviations else 0.0


def table(tried: Sequence[Tried], latency: Mapping[int, float]) -> list[dict[str, float]]:
    """What was tried, for people and machines."""
    return [
        {
            **t.plan.model_dump(),
            "dev": round(float(t.values.mean()), 4),
            "p95_ms": round(latency[t.plan.depth], 1),
        }
        for t in tried
    ]

"""How a model would be served: by which plan, and under which name that was evaluated."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import numpy as np

from embedlib.contracts import Corpus, Doubles
from embedlib.evaluation.judged import JudgedSet
from embedlib.evaluation.model_on_set import DenseSystem, ModelOnSet, own_rows_of
from embedlib.evaluation.significance import standard_error
from embedlib.evaluation.systems import query_values
from embedlib.retrieval.bm25 import BM25Index
from embedlib.retrieval.fusion import Gathered
from embedlib.retrieval.hits import Hits
from embedlib.retrieval.plan import BM25, DENSE, Feedback, SearchPlan
from embedlib.retrieval.sparse import SparseIndex

#: Weights tried on dev; the vectors alone and BM25 alone stand for 0 and infinity.
WEIGHTS = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 2.0)
#: Standard errors of the paired difference by which dev must favour another plan than the prior.
CLEARLY = 2.0
#: Answerable dev queries from which a plan is chosen.
LEAST_QUERIES = 50
#: Dev queries beyond this number are left out at random.
MOST_QUERIES = 500
DEPTH = 100


class ChosenPlan(NamedTuple):
    """A model's plan, why it was chosen, and what was measured on dev (mean by plan; empty: nothing)."""

    plan: SearchPlan
    reason: str
    dev: dict[str, float]


def served_system(model: str, plan: SearchPlan) -> str:
    """Name of the evaluated system that answers as a model with a plan does.

    Examples:
        >>> served_system("base", SearchPlan(mode="hybrid")), served_system("base", SearchPlan(mode="bm25"))
        ('hybrid:base', 'bm25')
    """
    return {"dense": model, "bm25": "bm25", "hybrid": f"hybrid:{model}"}[plan.mode]


def choose_plan(  # noqa: PLR0913 - an argument a ranking
    corpus: Corpus,
    dev: JudgedSet | None,
    system: DenseSystem,
    prior: SearchPlan,
    *,
    bm25: Callable[[], BM25Index],
    measure: str,
    least_queries: int = LEAST_QUERIES,
    rng: np.random.Generator,
    sparse: SparseIndex | None = None,
) -> ChosenPlan:
    """How one model is searched: mode, weights and feedback, chosen on dev queries written by people.

    The prior stays unless another plan is better by more than two standard errors of the paired
    difference: the best of nine is flattered by its choice, and the optimum is flat. It stays also
    where people wrote too few queries. Derived queries never choose: they have one answer each and
    are made of their document's own words, so that they favour BM25 or the vectors by how they were
    made, while over 14 collections with human judgements the prior (BM25 weighted .3) beat the
    vectors alone on 12 and lost at most .036.

    ``bm25`` is built only where there is something to choose by; ``sparse`` may be a third ranking. More than
    ``MOST_QUERIES`` dev queries are sampled.
    """
    answerable = 0 if dev is None else dev.answerable
    if dev is None or answerable < least_queries:
        few = (
            f"{answerable} human dev queries, {least_queries} would choose"
            if answerable
            else "no human dev query"
        )
        return ChosenPlan(prior, f"the default: {few}", {})
    dev = dev.sample(MOST_QUERIES, rng)
    trial = _Trial(corpus, dev, system, bm25(), measure, sparse)
    plans = [DENSE, *(prior.model_copy(update={"weight": w}) for w in WEIGHTS), BM25]
    best = max([prior, *plans], key=trial.mean)
    plan = best if clearly_better(trial.values(best), trial.values(prior)) else prior
    if plan.mode == "hybrid" and plan.feedback is None:
        moved = plan.model_copy(update={"feedback": Feedback()})
        plan = moved if clearly_better(trial.values(moved), trial.values(plan)) else plan
    if plan.mode == "hybrid" and sparse is not None:
        third = max((plan.model_copy(update={"sparse_weight": w}) for w in WEIGHTS), key=trial.mean)
        plan = third if clearly_better(trial.values(third), trial.values(plan)) else plan
    how = "the default, which nothing beats clearly" if plan == prior else f"clearly better than {prior}"
    return ChosenPlan(plan, f"{how} on {len(dev.query_ids)} human dev queries", trial.means())


def clearly_better(one: Doubles, other: Doubles) -> bool:
    """Whether the paired differences' mean is more than ``CLEARLY`` standard errors above zero."""
    d = one - other
    return len(d) > 1 and bool(d.mean() > CLEARLY * standard_error(d))


class _Trial:
    """One model on the dev queries; both rankings are asked once and fused by each plan."""

    def __init__(
        self,
        corpus: Corpus,
        dev: JudgedSet,
        system: DenseSystem,
        bm25: BM25Index,
        measure: str,
        sparse: SparseIndex | None,
    ) -> None:
        self._on_set = ModelOnSet(dev, system, bm25, own_rows_of(corpus, dev), sparse)
        self._depth = dev.reach(DEPTH)
        self._gathered = self._on_set.gather(self._depth)
        self._measure = measure
        self._values: dict[str, Doubles] = {}

    def values(self, plan: SearchPlan) -> Doubles:
        name = str(plan)
        if name not in self._values:
            hits = self._hits(plan)
            self._values[name] = query_values(self._on_set.judged, hits, self._measure, DEPTH)
        return self._values[name]

    def mean(self, plan: SearchPlan) -> float:
        return float(self.values(plan).mean())

    def means(self) -> dict[str, float]:
        return {name: round(float(values.mean()), 4) for name, values in self._values.items()}

    @cached_property
    def _with_sparse(self) -> Gathered:
        return self._on_set.gather(self._depth, with_sparse=True)

    def _hits(self, plan: SearchPlan) -> Hits:
        gathered = self._with_sparse if plan.sparse_weight else self._gathered
        return self._on_set.answers(gathered, self._depth, plan)

"""How often the gate promotes a candidate that is no better, and how often one that is."""

from __future__ import annotations

import numpy as np
import pytest

from embedlib.evaluation.compare import compare, means
from embedlib.evaluation.gate import decide
from embedlib.evaluation.gate_inputs import GateInputs
from embedlib.evaluation.statistics import Policy, Resampling
from embedlib.retrieval.plan import HYBRID

MEASURE = "nDCG@10"


def verdict(rng, n, shift, noise, policy):
    """One candidate: a base with the zeros and ones of real nDCG, changes on about half of the queries."""
    base = np.clip(rng.beta(0.6, 0.8, n) * (rng.random(n) > 0.25), 0, 1)
    changed = rng.random(n) < 0.5
    candidate = np.clip(base + changed * rng.normal(shift, noise, n), 0, 1)
    if shift == 0:  # the null hypothesis exactly: the two are exchangeable query by query
        swap = rng.random(n) < 0.5
        base, candidate = np.where(swap, candidate, base), np.where(swap, base, candidate)
    # alone the candidate is better for certain; only what is served may count
    alone = {"base": {MEASURE: base * 0.5}, "candidate": {MEASURE: np.clip(candidate * 0.5 + 0.2, 0, 1)}}
    values = alone | {"hybrid:base": {MEASURE: base}, "hybrid:candidate": {MEASURE: candidate}}
    pairs = [("hybrid:candidate", "hybrid:base"), ("candidate", "base")]
    figures = GateInputs(
        primary=MEASURE,
        decides="human",
        queries=n,
        systems={s: m[MEASURE] for s, m in means(values, [MEASURE], Resampling(rng, 100)).items()},
        comparisons=compare(values, pairs, [MEASURE], Resampling(rng, 1000), dataset="human"),
        plans={"base": HYBRID, "candidate": HYBRID},
    )
    return decide(figures, policy).verdict


@pytest.mark.slow
@pytest.mark.parametrize("n", [25, 100, 323])
@pytest.mark.parametrize("min_effect", [0.0, 0.01])
def test_at_most_two_and_a_half_percent_of_no_change_candidates_are_promoted(n, min_effect):
    rng = np.random.default_rng([n, 7])
    policy = Policy(min_effect=min_effect)
    promoted = sum(verdict(rng, n, 0.0, 0.25, policy) == "promote" for _ in range(2000))
    assert promoted / 2000 <= 0.025


def test_few_no_change_candidates_and_most_better_ones_are_promoted():
    rng = np.random.default_rng(11)
    promoted = sum(verdict(rng, 150, 0.0, 0.25, Policy()) == "promote" for _ in range(200))
    assert promoted <= 10  # more than 10 of 200 has probability 0.013 at 2.5%
    found = sum(verdict(rng, 150, 0.25, 0.25, Policy()) == "promote" for _ in range(60))
    assert found >= 55

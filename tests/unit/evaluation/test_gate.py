"""The gate: every verdict, and nothing promoted that should not be."""

from __future__ import annotations

import itertools
import math

import pytest

from embedlib.evaluation.compare import Comparison
from embedlib.evaluation.gate import Decision, History, Policy, decide
from embedlib.evaluation.gate_inputs import GateInputs, GuardFigure, SliceFigure
from embedlib.evaluation.significance import Interval
from embedlib.retrieval.plan import DENSE, HYBRID

POLICY = Policy()


def comparison(baseline, mean, low, high, p=0.001, system="candidate", n=200):
    difference = Interval(mean, low, high, n)
    return Comparison("human", "nDCG@10", system, baseline, difference, p, p, 0.3, 0.02, 120, 60)


def figures(*comparisons, **changes):
    """A clear gain over the base, unless told otherwise."""
    comparisons = comparisons or (comparison("base", 0.05, 0.03, 0.07),)
    gain = comparisons[0].difference.mean
    means = {
        "base": 0.40,
        "candidate": 0.40 + gain,
        "bm25": 0.30,
        "hybrid:base": 0.39,
        "hybrid:candidate": 0.43,
    }
    means |= changes.pop("means", {})
    if any(c.baseline == "incumbent" for c in comparisons):
        means.setdefault("incumbent", 0.42)
    systems = {name: Interval(mean, mean - 0.03, mean + 0.03, 200) for name, mean in means.items()}
    given = {
        "primary": "nDCG@10",
        "decides": "human",
        "queries": 200,
        "systems": systems,
        "comparisons": comparisons,
    }
    return GateInputs(**{**given, **changes})


def guard(passed, name="sts"):
    low = -0.004 if passed else -0.03
    return GuardFigure(
        name, "Spearman", 0.82, 0.81, Interval(-0.002 if passed else -0.02, low, 0.0, 1379), 0.01, passed
    )


def piece(mean, high, n=50):
    return SliceFigure("query length", "1-3 words", 0.5, 0.5 + mean, Interval(mean, mean - 0.05, high, n))


def test_a_proven_gain_is_promoted_with_the_numbers():
    decision = decide(figures(guards=[guard(True)]), POLICY)
    assert decision.verdict == "promote"
    assert "gains 0.0500 nDCG@10 against the base" in decision.reasons[0]
    assert "+0.0300 to +0.0700" in decision.reasons[0]
    assert "200 queries labelled by people" in decision.reasons[0]
    assert decision.decided_on == "human"


def test_only_a_guard_failing_asks_for_a_merge_and_a_merged_candidate_is_not_merged_again():
    failing = [guard(True), guard(False, "general")]
    decision = decide(figures(guards=failing), POLICY)
    assert decision.verdict == "merge-and-retest"
    assert decision.numbers["guards_failed"] == ["general"]
    assert decide(figures(guards=failing, merged=True), POLICY).verdict == "keep"


def test_a_hybrid_is_searched_with_where_it_is_proven_better_than_the_model_it_is_made_of():
    proven = comparison("base", 0.03, 0.01, 0.05, system="hybrid:base")
    chance = comparison("candidate", 0.02, -0.01, 0.05, p=0.2, system="hybrid:candidate")
    lost = comparison("base", -0.01, -0.02, 0.002, p=0.2)
    decision = decide(figures(lost, proven, chance, means={"hybrid:base": 0.43}), POLICY)
    assert decision.search == {"base": HYBRID, "candidate": DENSE}
    assert any("0.400 to 0.430" in advice and "searched with it" in advice for advice in decision.advice)


def test_a_kept_incumbent_is_searched_as_its_own_decision_said_so_the_hybrid_is_advice():
    proven = comparison("incumbent", 0.03, 0.01, 0.05, system="hybrid:incumbent")
    lost = comparison("incumbent", -0.01, -0.02, 0.002, p=0.2)
    decision = decide(figures(lost, proven, means={"hybrid:incumbent": 0.45}), POLICY)
    assert decision.verdict == "keep"
    assert any("search with `--mode hybrid`" in advice for advice in decision.advice)
    assert not any("release is searched" in advice for advice in decision.advice)


@pytest.mark.parametrize(
    ("mean", "low", "p", "queries"),
    [(0.03, -0.001, 0.001, 200), (0.03, 0.01, 0.2, 200), (0.03, 0.01, 0.001, 19)],
)
def test_a_hybrid_that_is_not_proven_better_is_advice_at_most(mean, low, p, queries):
    hybrid = comparison("base", mean, low, 0.06, p=p, system="hybrid:base")
    lost = comparison("base", -0.01, -0.02, 0.002, p=0.2)
    decision = decide(figures(lost, hybrid, queries=queries, means={"hybrid:base": 0.44}), POLICY)
    assert {plan.mode for plan in decision.search.values()} == {"dense"}
    assert any("`--mode hybrid` to try it" in advice for advice in decision.advice)


def test_a_slice_past_its_floor_keeps_what_is_there():
    decision = decide(figures(slices=[piece(-0.1, -0.02)]), POLICY)
    assert decision.verdict == "keep"
    assert "1-3 words" in decision.reasons[0]


@pytest.mark.parametrize("harmless", [piece(-0.1, -0.02, n=29), piece(-0.1, 0.01), piece(-0.02, -0.001)])
def test_small_unsure_and_slight_slices_are_shown_and_not_judged(harmless):
    assert decide(figures(slices=[harmless]), POLICY).verdict == "promote"


def test_no_gain_is_a_reason_not_to_fine_tune():
    decision = decide(figures(comparison("base", -0.01, -0.02, 0.002, p=0.2)), POLICY)
    assert decision.verdict == "do-not-fine-tune"
    assert "loses 0.0100" in decision.reasons[0]


def test_a_gain_too_small_to_matter_is_not_promoted():
    assert decide(figures(comparison("base", 0.006, 0.003, 0.012)), POLICY).verdict == "do-not-fine-tune"


def test_too_few_queries_to_tell_is_said_with_what_they_could_have_shown():
    decision = decide(figures(comparison("base", 0.02, -0.02, 0.06, p=0.3)), POLICY)
    assert decision.verdict == "not-enough-evidence"
    assert "0.0200" in decision.reasons[1]


def test_unsure_gain_and_a_better_hybrid_of_the_base_advise_the_hybrid():
    unsure = comparison("base", 0.012, -0.01, 0.03, p=0.3)
    decision = decide(figures(unsure, means={"hybrid:base": 0.45}), POLICY)
    assert decision.verdict == "do-not-fine-tune"
    assert any("hybrid" in a for a in decision.advice)


def test_a_promotion_says_so_when_bm25_is_better_still():
    decision = decide(figures(means={"bm25": 0.67}), POLICY)
    assert decision.verdict == "promote"
    assert decision.advice[0].startswith("BM25 is the best system here")


def test_with_an_incumbent_the_incumbent_is_to_be_beaten():
    base, better = comparison("base", 0.05, 0.03, 0.07), comparison("incumbent", 0.03, 0.01, 0.05)
    assert decide(figures(base, better), POLICY).verdict == "promote"
    same = comparison("incumbent", 0.001, -0.004, 0.006, p=0.7)
    assert decide(figures(base, same), POLICY).verdict == "keep"
    unsure = comparison("incumbent", 0.01, -0.02, 0.04, p=0.5)
    assert decide(figures(base, unsure), POLICY).verdict == "not-enough-evidence"


def test_better_than_a_bad_incumbent_but_worse_than_the_base_is_kept_out():
    base, better = comparison("base", -0.03, -0.05, -0.01), comparison("incumbent", 0.03, 0.01, 0.05)
    decision = decide(figures(base, better), POLICY)
    assert decision.verdict == "keep"
    assert "not shown to be as good as the base" in decision.reasons[0]


def test_an_index_below_its_recall_is_not_released():
    assert decide(figures(index_recall=0.94), POLICY).verdict == "keep"
    assert decide(figures(index_recall=0.95), POLICY).verdict == "promote"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"decides": None, "queries": 0}, "no test query"),
        ({"queries": 1}, "Only 1 answerable"),
        ({"queries": 19}, "Only 19"),
        ({"queries": 0}, "Only 0"),
        ({"leaks": ["training query 't' is test query 'q'"]}, "Leak: training query 't' is test query 'q'"),
        ({"systems": {"base": Interval(0.4, 0.3, 0.5, 200)}}, "Not evaluated: candidate"),
        ({"comparisons": (comparison("base", math.nan, 0.1, 0.2),)}, "not a finite number"),
    ],
)
def test_unusable_figures_are_never_promoted(changes, words):
    decision = decide(figures(**changes), POLICY)
    assert decision.verdict == "not-enough-evidence"
    assert words in " ".join(decision.reasons)


def test_many_leaks_are_counted_and_a_few_named():
    decision = decide(figures(leaks=[f"leak {i}" for i in range(12)]), POLICY)
    assert decision.reasons[-1] == "7 more leaks of test data into training."


def test_uses_of_the_test_set_are_carried_but_not_part_of_the_record():
    decision = decide(figures(), POLICY, History(uses=3))
    assert decision.uses == 3
    assert "uses" not in decision.as_json()


def test_promotion_needs_every_condition_at_once():
    """All combinations of one met or missed condition each: only the full set promotes."""
    conditions = {
        "low": (0.03, -0.001),
        "p": (0.001, 0.036),
        "effect": (0.05, 0.009),
        "guard": (True, False),
        "slice": (-0.01, -0.1),
        "queries": (200, 5),
        "leaks": ((), ("x",)),
    }
    promoted = []
    for choice in itertools.product(*conditions.values()):
        low, p, mean, passed, loss, queries, leaks = choice
        low = min(low, mean - 0.005)
        found = figures(
            comparison("base", mean, low, mean + 0.02, p=p),
            guards=[guard(passed)],
            slices=[piece(loss, loss + 0.01)],
            queries=queries,
            leaks=leaks,
        )
        if decide(found, POLICY).verdict == "promote":
            promoted.append(choice)
    assert promoted == [tuple(values[0] for values in conditions.values())]


def test_every_decision_is_json_with_a_headline():
    import json

    for changes in ({}, {"queries": 1}, {"guards": [guard(False)]}, {"means": {"hybrid:candidate": 0.9}}):
        decision = decide(figures(**changes), POLICY)
        assert isinstance(decision, Decision)
        assert decision.headline.endswith(".")
        assert json.loads(json.dumps(decision.as_json()))["verdict"] == decision.verdict

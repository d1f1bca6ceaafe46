"""The gate: every verdict, and nothing promoted that should not be."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest

from embedlib.evaluation.compare import Comparison
from embedlib.evaluation.gate import Decision, decide, first_release
from embedlib.evaluation.gate_inputs import GateInputs
from embedlib.evaluation.records import GuardFigure, SliceFigure
from embedlib.evaluation.significance import Interval
from embedlib.evaluation.statistics import Policy
from embedlib.retrieval.plan import BM25, DENSE, HYBRID

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


def served(dense, fused, *, bm25=0.30, plans=None, **changes):
    """A candidate and a base, both served as hybrids; ``dense`` and ``fused`` are (base, candidate, low, high)."""

    def compared(system, baseline, figures):
        before, after, low, high = figures
        return comparison(baseline, after - before, low, high, p=0.001 if low > 0 else 0.4, system=system)

    means = {
        "base": dense[0], "candidate": dense[1], "bm25": bm25,
        "hybrid:base": fused[0], "hybrid:candidate": fused[1],
    }  # fmt: skip
    given = {
        "primary": "nDCG@10",
        "decides": "human",
        "queries": 200,
        "systems": {n: Interval(m, m - 0.03, m + 0.03, 200) for n, m in means.items()},
        "comparisons": [
            compared("candidate", "base", dense), compared("hybrid:candidate", "hybrid:base", fused)
        ],
        "plans": plans or {"base": HYBRID, "candidate": HYBRID},
    }  # fmt: skip
    return GateInputs(**{**given, **changes})


BETTER, SAME = (0.40, 0.45, 0.03, 0.07), (0.44, 0.442, -0.004, 0.008)


def test_better_alone_but_no_better_as_served_is_not_promoted():
    decision = decide(served(dense=BETTER, fused=SAME), POLICY)
    assert decision.verdict == "do-not-fine-tune"
    assert "0.4400 to 0.4420" in decision.reasons[0]
    assert "By vectors alone: 0.4000 to 0.4500 (+0.0500" in decision.reasons[1]


def test_better_as_served_is_promoted_though_no_better_alone():
    decision = decide(served(dense=SAME, fused=(0.45, 0.48, 0.02, 0.04)), POLICY)
    assert decision.verdict == "promote"
    assert "searched as hybrid (BM25 weight 0.3), gains 0.0300" in decision.reasons[0]
    assert decision.search == {"base": HYBRID, "candidate": HYBRID}
    assert decision.numbers["served"] == {"base": "hybrid:base", "candidate": "hybrid:candidate"}
    assert decision.model_dump(mode="json")["search"]["base"]["weight"] == 0.3


def test_a_candidate_may_be_served_otherwise_than_what_it_replaces():
    plans = {"base": HYBRID, "candidate": DENSE}
    found = served(dense=(0.40, 0.50, 0.08, 0.12), fused=(0.45, 0.49, 0.02, 0.06), plans=plans)
    across = comparison("hybrid:base", 0.05, 0.03, 0.07, system="candidate")
    decision = decide(replace(found, comparisons=[*found.comparisons, across]), POLICY)
    assert decision.verdict == "promote"
    assert "searched as dense, gains 0.0500" in decision.reasons[0]
    assert "the base, searched as hybrid" in decision.reasons[0]


def test_where_bm25_alone_is_served_for_both_the_model_does_not_matter():
    plans = {"base": BM25, "candidate": BM25}
    decision = decide(served(dense=BETTER, fused=BETTER, bm25=0.6, plans=plans), POLICY)
    assert decision.verdict == "do-not-fine-tune"
    assert "both are BM25 alone" in decision.reasons[0]


def test_what_would_be_better_on_test_is_advice_and_chooses_nothing():
    decision = decide(served(dense=SAME, fused=(0.40, 0.401, -0.01, 0.01)), POLICY)
    assert decision.search["base"] == HYBRID
    (advice,) = [a for a in decision.advice if "vectors alone is better on the test queries" in a]
    assert advice.endswith("They choose nothing.")
    both = (
        comparison("hybrid:base", 0.05, 0.03, 0.07, system="hybrid:candidate"),
        comparison("base", 0.2, 0.1, 0.3),
    )
    alone = {"means": {"candidate": 0.60}, "plans": {"candidate": HYBRID, "base": HYBRID}}
    promoted = decide(figures(*both, **alone), POLICY)
    assert promoted.verdict == "promote"
    assert promoted.advice[0].endswith("They choose nothing; a search may ask for it with --mode dense.")


def test_derived_queries_have_a_wider_bar_and_a_caution():
    gain = (0.40, 0.415, 0.005, 0.025)
    assert decide(served(dense=gain, fused=gain), POLICY).verdict == "promote"
    found = served(dense=gain, fused=gain, decides="derived")
    derived = [replace(c, dataset="derived") for c in found.comparisons]
    decision = decide(replace(found, comparisons=derived), POLICY)
    assert decision.verdict == "do-not-fine-tune"
    assert "least gain worth a release, 0.02" in " ".join(decision.reasons)
    assert "agree with people's only in part" in decision.reasons[-1]


def test_the_first_release_is_the_base_as_best_served_with_its_figures():
    found = served(dense=SAME, fused=BETTER, plans={"base": HYBRID})
    decision = first_release(found)
    assert decision.verdict == "first-release"
    assert "searched as hybrid (BM25 weight 0.3)" in decision.reasons[0]
    assert "0.4400, BM25 0.3000" in decision.reasons[1]
    assert decision.search["base"] == HYBRID
    nothing = first_release(replace(found, decides=None, queries=0, systems={}, comparisons=[]))
    assert nothing.search == {"base": HYBRID}
    assert len(nothing.reasons) == 1


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


def test_unsure_gain_and_a_better_bm25_is_a_reason_not_to_fine_tune():
    unsure = comparison("base", 0.012, -0.01, 0.03, p=0.3)
    decision = decide(figures(unsure, means={"bm25": 0.45}), POLICY)
    assert decision.verdict == "do-not-fine-tune"
    (advice,) = [a for a in decision.advice if "BM25 is better on the test queries" in a]
    assert advice.endswith("--mode bm25.")


def test_a_promotion_says_so_when_bm25_is_better_still():
    decision = decide(figures(means={"bm25": 0.67}), POLICY)
    assert decision.verdict == "promote"
    assert decision.advice[0].startswith("BM25 is better on the test queries than what is served (0.670")


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
    for changes in ({}, {"queries": 1}, {"guards": [guard(False)]}, {"means": {"hybrid:candidate": 0.9}}):
        decision = decide(figures(**changes), POLICY)
        assert decision.headline.endswith(".")
        assert Decision.model_validate_json(decision.model_dump_json()) == decision


def test_a_live_reranker_has_to_be_outdone_too():
    gains = comparison("base", 0.05, 0.03, 0.07)
    assert decide(figures(gains, second_stage=0.029), POLICY).verdict == "promote"
    kept = decide(figures(gains, second_stage=0.03), POLICY)
    assert kept.verdict == "keep"
    assert "re-ranks its first hits, which gained 0.0300" in kept.reasons[0]

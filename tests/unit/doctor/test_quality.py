"""Prompt, pooling, metric, base and BM25 checks on per-query values written by hand."""

from __future__ import annotations

import numpy as np
import pytest

from embedlib.doctor.findings import Finding, Severity, exit_code, failure, fine, warning
from embedlib.doctor.quality import (
    best_alternative,
    check_base,
    check_bm25,
    check_metric,
    check_pooling,
    check_prompts,
)

RNG = np.random.default_rng
N = 60


def values(mean: float, seed: int = 0) -> np.ndarray:
    """Sixty per-query values around a mean; equal seeds give paired ones."""
    return np.clip(RNG(seed).normal(mean, 0.2, N), 0, 1)


GOOD, BAD = values(0.7), values(0.4)


def test_exit_code_says_whether_something_is_to_be_mended():
    ok, warn, bad = fine("a", "t"), warning("b", "t", "c"), failure("c", "t", "c")
    assert [exit_code(f) for f in ([], [ok], [ok, warn], [warn, bad, ok])] == [0, 0, 1, 1]


def test_a_finding_survives_json():
    found = failure("a", "t", "do this", share=0.5, names=["x"])
    assert Finding.model_validate_json(found.model_dump_json()) == found


def test_the_best_of_several_better_alternatives_is_named():
    found = best_alternative(BAD, {"some": values(0.5), "more": GOOD, "less": values(0.3)}, RNG(1))
    assert found is not None
    assert found[0] == "more"
    assert found[1].mean == pytest.approx((GOOD - BAD).mean())


def test_noise_and_trifles_are_no_alternatives():
    noise = values(0.4, seed=5)
    assert best_alternative(BAD, {"noise": noise}, RNG(1)) is None
    assert best_alternative(BAD, {"sure but tiny": BAD + 0.005}, RNG(1)) is None
    assert best_alternative(BAD, {}, RNG(1)) is None


def test_many_alternatives_without_effect_are_rarely_taken_for_better():
    taken = 0
    for seed in range(20):
        others = {str(i): values(0.4, seed=1000 * seed + i) for i in range(1, 7)}
        taken += best_alternative(values(0.4, seed=7000 + seed), others, RNG(seed)) is not None
    assert taken <= 2


def test_a_better_pooling_is_an_error_and_a_worse_one_is_not():
    wrong = check_pooling(BAD, {"other": GOOD}, RNG(2))
    assert (wrong.severity, wrong.subject) == (Severity.ERROR, "pooling")
    assert "other" in wrong.title
    assert wrong.evidence["queries"] == N
    assert wrong.command
    assert check_pooling(GOOD, {"other": BAD}, RNG(2)).severity == Severity.OK


def test_better_prompts_are_a_suggestion_and_an_error_where_the_model_was_made_with_them():
    suggestion = check_prompts(BAD, {"other": GOOD}, "", RNG(2))
    assert (suggestion.severity, suggestion.subject) == (Severity.WARNING, "prompts")
    gain, low, high = (suggestion.evidence[name] for name in ("difference", "low", "high"))
    assert (
        f"other gains {gain:.4f} nDCG@10 (interval {low:+.4f} to {high:+.4f}, {N} queries)"
        in suggestion.title
    )
    assert check_prompts(BAD, {"other": GOOD}, "other", RNG(2)).severity == Severity.ERROR
    assert check_prompts(GOOD, {"other": BAD}, "other", RNG(2)).severity == Severity.OK


@pytest.mark.parametrize(
    ("cosine", "inner", "in_use", "severity"),
    [
        (GOOD, BAD, "inner_product", Severity.ERROR),
        (GOOD, BAD, "cosine", Severity.OK),
        (BAD, GOOD, "cosine", Severity.ERROR),
        (GOOD, GOOD, "cosine", Severity.OK),
    ],
)
def test_the_wrong_metric_is_found_either_way(cosine, inner, in_use, severity):
    assert check_metric(cosine, inner, in_use, RNG(3)).severity == severity


def test_a_base_that_is_better_is_an_error_and_an_unproven_gain_a_warning():
    assert check_base(BAD, GOOD, RNG(4)).severity == Severity.ERROR
    assert check_base(BAD, BAD, RNG(4)).severity == Severity.WARNING
    assert check_base(GOOD, BAD, RNG(4)).severity == Severity.OK
    assert check_base(BAD, GOOD, RNG(4)).command == "embedlib rollback"


def test_bm25_that_wins_is_a_warning_with_the_hybrid_beside_it():
    wins = check_bm25(BAD, GOOD, values(0.75), RNG(5))
    assert wins.severity == Severity.WARNING
    assert "hybrid" in wins.command
    assert wins.evidence["hybrid"] > wins.evidence["bm25"] > wins.evidence["served"]
    assert check_bm25(GOOD, BAD, None, RNG(5)).severity == Severity.OK

"""Intervals, tests and power, against scipy, exact enumeration and theory."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from embedlib.errors import DataError
from embedlib.evaluation.significance import (
    Interval,
    bootstrap_mean,
    by_question,
    detectable_difference,
    effect_size,
    expanded_tail,
    holm,
    paired_bootstrap,
    randomization_tests,
)
from embedlib.evaluation.statistics import Resampling


@pytest.fixture
def pair():
    rng = np.random.default_rng(3)
    b = rng.beta(1, 2, 300)
    return np.clip(b + rng.normal(0.03, 0.15, 300), 0, 1), b


def test_bootstrap_interval_matches_scipy(pair):
    a, b = pair
    ours = paired_bootstrap(a, b, Resampling(np.random.default_rng(0), 20_000))
    theirs = stats.bootstrap(
        (a - b,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    spread = (a - b).std() / math.sqrt(len(a))
    assert ours.mean == pytest.approx((a - b).mean())
    assert ours.low == pytest.approx(theirs.low, abs=0.06 * spread)
    assert ours.high == pytest.approx(theirs.high, abs=0.06 * spread)
    assert ours.n == 300


def test_a_question_asked_under_many_ids_is_one_observation(pair):
    difference = (pair[0] - pair[1])[:20]
    texts = [f"question {i}" for i in range(20)]
    assert by_question(difference, texts) is difference
    often = by_question(
        np.tile(difference, 10), [t for n in range(10) for t in (f" {t.upper()}?" for t in texts)]
    )
    assert sorted(often) == pytest.approx(sorted(difference))
    weighted = by_question(np.array([1.0, 0.0, 0.0, 0.0]), ["a", "b", "b", "A"])
    assert len(weighted) == 2
    assert weighted.mean() == pytest.approx(0.25)


def test_small_samples_get_wider_intervals_that_cover_as_promised():
    assert expanded_tail(10_000, 0.95) == pytest.approx(0.025, abs=1e-4)
    assert expanded_tail(25, 0.95) == pytest.approx(
        stats.norm.cdf(-stats.t.ppf(0.975, 24) * math.sqrt(25 / 24))
    )
    assert expanded_tail(1, 0.95) == pytest.approx(0.025)
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        interval = bootstrap_mean(rng.normal(0, 1, 12), Resampling(rng, 400))
        covered += interval.low <= 0 <= interval.high
    assert covered / 400 >= 0.93  # the plain percentile interval covers 0.91 here


def test_interval_does_not_depend_on_how_draws_are_chunked(pair, monkeypatch):
    a, b = pair
    whole = paired_bootstrap(a, b, Resampling(np.random.default_rng(0), 500))
    monkeypatch.setattr("embedlib.evaluation.significance.CHUNK", 900)
    assert paired_bootstrap(a, b, Resampling(np.random.default_rng(0), 500)) == pytest.approx(whole)


def randomization_test(a, b, resampling):
    return randomization_tests((a - b)[:, None], resampling)[0]


def test_randomization_p_matches_scipys_permutation_test(pair):
    a, b = pair[0][:40], pair[1][:40]
    ours = randomization_test(a, b, Resampling(np.random.default_rng(0), 20_000))
    theirs = stats.permutation_test(
        (a, b),
        lambda x, y: np.mean(x - y),
        permutation_type="samples",
        n_resamples=20_000,
        rng=np.random.default_rng(1),
    ).pvalue
    assert ours == pytest.approx(theirs, abs=0.012)


def test_randomization_p_matches_full_enumeration():
    d = np.array([0.1, 0.2, -0.05, 0.3, 0.07, 0.0])
    signs = np.array(list(itertools.product([-1, 1], repeat=len(d))))
    exact = np.mean(np.abs(signs @ d) >= abs(d.sum()) - 1e-12)
    p = randomization_test(d, np.zeros(6), Resampling(np.random.default_rng(0), 40_000))
    assert p == pytest.approx(exact, abs=0.01)


def test_p_is_never_zero_and_one_without_any_difference():
    a = np.linspace(0.5, 1, 200)
    assert randomization_test(a, a - 0.5, Resampling(np.random.default_rng(0), 999)) == 1 / 1000
    assert randomization_test(a, a, Resampling(np.random.default_rng(0))) == 1.0


def test_holm_by_hand_and_in_the_order_given():
    # sorted: .005·4=.02, .01·3=.03, .03·2=.06, .04·1=.04 but never below the one before: .06
    assert holm([0.04, 0.005, 0.03, 0.01]) == pytest.approx([0.06, 0.02, 0.06, 0.03])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_effect_size_is_mean_over_spread():
    a, b = np.array([1.0, 2.0, 3.0]), np.array([0.0, 0.0, 0.0])
    assert effect_size(a - b) == pytest.approx(2.0)
    assert effect_size(a - a) == 0.0
    assert effect_size(a + 1 - a) == math.inf


def test_detectable_difference_is_found_with_the_promised_power():
    rng = np.random.default_rng(5)
    noise = rng.normal(0, 0.2, 100)
    smallest = detectable_difference(noise)
    assert smallest == pytest.approx((1.959964 + 0.841621) * noise.std(ddof=1) / 10, rel=1e-5)
    found = np.mean(
        [stats.ttest_1samp(rng.normal(smallest, noise.std(ddof=1), 100), 0).pvalue < 0.05 for _ in range(600)]
    )
    assert found == pytest.approx(0.8, abs=0.06)
    assert detectable_difference(np.ones(1)) == math.inf


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.ones(2), np.ones(3), "same queries"),
        (np.ones(0), np.ones(0), "no judged query"),
        (np.array([1.0, np.nan]), np.ones(2), "query number 1"),
    ],
)
def test_bad_values_are_refused(a, b, message):
    with pytest.raises(DataError, match=message):
        paired_bootstrap(a, b, Resampling(np.random.default_rng(0)))


def test_one_query_has_an_interval_of_no_width():
    assert bootstrap_mean(np.array([0.25]), Resampling(np.random.default_rng(0), 100)) == Interval(
        0.25, 0.25, 0.25, 1
    )

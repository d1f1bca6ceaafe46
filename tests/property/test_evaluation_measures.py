"""What holds of every run, interval and correction, whatever the data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedlib.evaluation.measures import hits_to_run, score_run
from embedlib.evaluation.significance import bootstrap_means, holm, randomization_tests
from embedlib.evaluation.statistics import Resampling
from embedlib.retrieval.hits import Hits

MEASURES = ["nDCG@10", "RR@10", "R@5", "AP"]
ids = st.sampled_from([f"d{i}" for i in range(15)])
documents = st.dictionaries(ids, st.floats(-5, 5, width=32), min_size=1)
judgements = st.dictionaries(ids, st.integers(0, 3), min_size=1)


@settings(max_examples=60, deadline=None)
@given(documents, judgements, st.randoms(use_true_random=False))
def test_order_of_insertion_does_not_matter_and_values_lie_in_0_to_1(run, judged, random):
    shuffled = list(run.items())
    random.shuffle(shuffled)
    scores = score_run({"q": run}, {"q": judged}, MEASURES)
    assert score_run({"q": dict(shuffled)}, {"q": judged}, MEASURES) == scores
    assert all(0 <= values["q"] <= 1 for values in scores.values())


@settings(max_examples=60, deadline=None)
@given(documents, judgements)
def test_lifting_a_most_relevant_document_to_the_top_never_lowers_a_value(run, judged):
    best = max(judged, key=lambda d: judged[d])
    lifted = {**run, best: 10.0}
    before, after = (score_run({"q": r}, {"q": judged}, MEASURES) for r in (run, lifted))
    assert all(after[m]["q"] >= before[m]["q"] - 1e-9 for m in MEASURES)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 14), min_size=1, max_size=15, unique=True), st.integers(1, 15))
def test_a_shallower_run_is_a_prefix_of_a_deeper_one(rows, depth):
    hits = Hits(np.array([rows]), np.linspace(1, 0, len(rows), dtype=np.float32)[None, :])
    names = [f"d{i}" for i in range(15)]
    deep, shallow = hits_to_run(["q"], hits, names)["q"], hits_to_run(["q"], hits, names, depth=depth)["q"]
    assert list(deep.items())[:depth] == list(shallow.items())


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_holm_keeps_order_and_never_lowers_a_p(ps):
    adjusted = holm(ps)
    assert all(p <= a <= 1 for p, a in zip(ps, adjusted, strict=True))
    order = np.argsort(ps, kind="stable")
    assert np.all(np.diff(np.array(adjusted)[order]) >= 0)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 40), st.integers(0, 2**32 - 1))
def test_interval_and_p_mirror_when_the_systems_change_places(n, seed):
    d = np.random.default_rng(seed).normal(0.1, 0.3, (n, 1))
    (forth,) = bootstrap_means(d, Resampling(np.random.default_rng(1), 300))
    (back,) = bootstrap_means(-d, Resampling(np.random.default_rng(1), 300))
    assert (forth.low, forth.mean, forth.high) == pytest.approx((-back.high, -back.mean, -back.low))
    p = randomization_tests(d, Resampling(np.random.default_rng(1), 300))
    assert p == randomization_tests(-d, Resampling(np.random.default_rng(1), 300))

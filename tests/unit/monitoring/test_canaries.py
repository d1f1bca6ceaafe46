"""Canaries and fresh labels on rankings written by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from embedlib.contracts import Judgements
from embedlib.monitoring.canaries import (
    Baseline,
    Canary,
    FoundDocument,
    choose_canaries,
    compare_canaries,
    found_canaries,
    score_labels,
)
from embedlib.monitoring.logs import Label

RNG = np.random.default_rng


def searching(answers: dict[str, list[str]]):
    """Answers written as ``doc`` or ``doc/chunk``."""

    def search(queries, k):
        return [
            [FoundDocument(d, d.split("/")[0], -float(n)) for n, d in enumerate(answers[q][:k])]
            for q in queries
        ]

    return search


def judgements(origins: list[str], relevance: int = 1) -> Judgements:
    ids = [f"q{n}" for n in range(len(origins))]
    return Judgements(
        {i: f"text of {i}" for i in ids},
        {i: {f"d{i}": relevance} for i in ids},
        dict(zip(ids, origins, strict=True)),
        dict.fromkeys(ids),
    )


def test_only_queries_whose_answer_is_in_the_corpus_become_canaries():
    judged = judgements(["human"] * 4)
    chosen = choose_canaries(judged, {"dq1", "dq3"}, 10, RNG(0))
    assert {c.query for c in chosen} == {"text of q1", "text of q3"}
    assert choose_canaries(judgements(["human"], relevance=0), {"dq0"}, 10, RNG(0)) == []


def test_people_s_queries_come_before_derived_ones():
    judged = judgements(["derived:title", "human", "log", "derived:title"])
    chosen = choose_canaries(judged, {f"dq{n}" for n in range(4)}, 2, RNG(0))
    assert {c.query for c in chosen} == {"text of q1", "text of q2"}


def test_a_canary_is_found_within_k():
    canaries = [Canary(query="a", expected=["x", "y"]), Canary(query="b", expected=["z"])]
    search = searching({"a": ["n", "y"], "b": ["n", "m", "z"]})
    assert found_canaries(search, canaries, 2) == [True, False]
    assert found_canaries(search, canaries, 3) == [True, True]


def test_comparison_leaves_out_answers_that_left_the_corpus():
    canaries = [Canary(query=q, expected=[q.upper()]) for q in "abcd"]
    baseline = Baseline(model="m", release=1, k=5, canaries=canaries, found=[True, True, False, True])
    result = compare_canaries(baseline, [True, False, False, False], {"A", "B", "C"})
    assert result == (pytest.approx(1 / 3), pytest.approx(2 / 3), 3, ["b"])
    assert compare_canaries(baseline, [True] * 4, set()) is None


def test_labels_are_scored_as_ndcg_at_10():
    search = searching({"a": ["x", "y"], "b": ["n", "z"]})
    labels = [Label("a", "x"), Label("b", "z"), Label("b", "gone"), Label("c", "gone")]
    interval = score_labels(search, labels, {"x", "y", "z", "n"}, RNG(0))
    assert interval is not None
    assert interval.n == 2
    assert interval.mean == pytest.approx((1 + 1 / math.log2(3)) / 2, abs=1e-6)
    assert interval.low <= interval.mean <= interval.high


def test_the_highest_of_several_labels_on_one_document_counts():
    labels = [Label("a", "x", 2), Label("a", "x", 0), Label("b", "x", 0)]
    interval = score_labels(searching({"a": ["x"], "b": ["x"]}), labels, {"x"}, RNG(0))
    assert interval is not None
    assert (interval.n, interval.mean) == (1, 1.0)  # a query with nothing relevant is no test


def test_a_chunk_answers_for_its_document_and_its_best_chunk_counts():
    search = searching({"a": ["n", "x/2", "x/1", "y"]})
    assert found_canaries(search, [Canary(query="a", expected=["x"])], 2) == [True]
    assert found_canaries(search, [Canary(query="a", expected=["x/1"])], 2) == [False]
    interval = score_labels(search, [Label("a", "x")], {"x", "x/1", "x/2"}, RNG(0))
    assert interval is not None
    assert interval.mean == pytest.approx(1 / math.log2(3), abs=1e-6)


def test_labels_of_unknown_documents_alone_give_no_figure():
    assert score_labels(searching({}), [Label("a", "gone")], {"x"}, RNG(0)) is None

"""Hits to runs and runs to scores."""

from __future__ import annotations

import numpy as np
import pytest

from embedlib.errors import ConfigError, DataError
from embedlib.evaluation.measures import hits_to_run, own_rows, parse_measures, ranked, score_run
from embedlib.retrieval.hits import Hits


def _hits(rows, scores):
    return Hits(np.asarray(rows, dtype=np.int64), np.asarray(scores, dtype=np.float32))


def test_own_id_is_dropped_and_missing_hits_are_skipped():
    run = hits_to_run(
        ["a", "q"], _hits([[0, 1, -1], [1, 0, -1]], [[3, 2, -np.inf], [2, 1, -np.inf]]), ["a", "b"]
    )
    assert run == {"a": {"b": 2.0}, "q": {"b": 2.0, "a": 1.0}}


def test_what_is_judged_relevant_is_no_query_whatever_its_id_or_text():
    """Questions and answers of a FAQ are numbered alike: 17 answers 17."""
    hits, qrels = _hits([[0, 1]], [[3, 2]]), {"17": {"17": 1}}
    assert hits_to_run(["17"], hits, ["17", "18"], qrels=qrels) == {"17": {"17": 3.0, "18": 2.0}}
    assert hits_to_run(["17"], hits, ["17", "18"], qrels={"17": {"17": 0, "18": 1}}) == {"17": {"18": 2.0}}
    assert own_rows(["q"], ["same words"], ["same words"] * 2, ["17", "18"], {"q": {"17": 1}}) == {"q": {1}}


def test_own_text_is_dropped():
    own = own_rows(["q"], [" same words"], ["same words", "other"], ["a", "b"], {"q": {"b": 1}})
    assert hits_to_run(["q"], _hits([[0, 1]], [[2, 1]]), ["a", "b"], excluded=own) == {"q": {"b": 1.0}}


def test_the_best_chunk_stands_for_its_document_and_depth_counts_documents():
    hits = _hits([[0, 1, 2, 3]], [[4, 3, 2, 1]])
    assert hits_to_run(["q"], hits, ["A", "A", "B", "C"], depth=2) == {"q": {"A": 4.0, "B": 2.0}}


def test_nan_in_hits_and_in_runs_is_named():
    with pytest.raises(DataError, match="'b'"):
        hits_to_run(["q"], _hits([[1]], [[np.nan]]), ["a", "b"])
    with pytest.raises(DataError, match="'d7'"):
        score_run({"q": {"d7": float("nan")}}, {"q": {"d7": 1}}, ["AP"])


def test_ties_are_ordered_by_id():
    assert ranked({"b": 1.0, "a": 1.0, "c": 2.0}) == ["c", "a", "b"]


def test_every_judged_query_has_a_value_and_no_other():
    scores = score_run(
        {"x": {"d": 1.0}, "hit": {"d": 1.0}}, {"hit": {"d": 1}, "none": {"d": 1}}, ["nDCG@10", "RR@10"]
    )
    assert scores == {"nDCG@10": {"hit": 1.0, "none": 0.0}, "RR@10": {"hit": 1.0, "none": 0.0}}


def test_a_query_judged_with_zeros_only_scores_zero_on_every_measure():
    scores = score_run({"q": {"d": 1.0}}, {"q": {"d": 0}}, ["nDCG@10", "RR@10", "R@5", "AP"])
    assert all(values == {"q": 0.0} for values in scores.values())


def test_all_unknown_measures_are_listed_at_once():
    with pytest.raises(ConfigError) as caught:
        parse_measures(["nDCG@10", "nope", "R@0", "nDCG@x"])
    assert len(caught.value.problems) == 3
    assert "'nope'" in str(caught.value)


def test_aliases_keep_the_name_they_were_asked_by():
    scores = score_run({"q": {"d": 1.0}}, {"q": {"d": 1}}, ["MRR@10", "RR@10"])
    assert list(scores) == ["MRR@10", "RR@10"]

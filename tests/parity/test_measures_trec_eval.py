"""Scores equal to trec_eval's own, on graded, tied, missing and duplicated cases.

Parameter mapping: nDCG@10 = ndcg_cut_10, R@5 = recall_5, AP = map, RR = recip_rank, P@5 = P_5,
relevance level 1. The oracle is the formula of trec_eval written out (``_by_hand``) on ties, and
pytrec_eval itself where its own order (ties by descending id) and ours agree, without ties.
"""

from __future__ import annotations

import math

import ir_measures
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from embedlib.evaluation.measures import score_run

MAPPING = {"nDCG@10": "ndcg_cut_10", "R@5": "recall_5", "AP": "map", "RR": "recip_rank", "P@5": "P_5"}

doc_ids = st.sampled_from([f"d{i}" for i in range(12)])
qrels_st = st.dictionaries(
    st.sampled_from(["q1", "q2", "q3", "q4"]),
    st.dictionaries(doc_ids, st.integers(0, 3), min_size=1),
    min_size=1,
)


def runs(scores):
    return st.dictionaries(st.sampled_from(["q1", "q2", "q3", "q9"]), st.dictionaries(doc_ids, scores))


def _by_hand(run, qrels):
    """trec_eval 9 (ndcg_cut: gain = relevance, discount log2(rank + 1); ideal over all judged)."""
    out = {name: {} for name in MAPPING}
    for q, judged in qrels.items():
        order = [d for d, _ in sorted(run.get(q, {}).items(), key=lambda item: (-item[1], item[0]))]
        gains = [judged.get(d, 0) for d in order]
        relevant = sum(r > 0 for r in judged.values())
        dcg = sum(g / math.log2(i + 2) for i, g in enumerate(gains[:10]))
        best = sum(g / math.log2(i + 2) for i, g in enumerate(sorted(judged.values(), reverse=True)[:10]))
        found = [i for i, g in enumerate(gains, 1) if g > 0]
        out["nDCG@10"][q] = dcg / best if best else 0.0
        out["R@5"][q] = sum(i <= 5 for i in found) / relevant if relevant else 0.0
        out["AP"][q] = sum((n / i) for n, i in enumerate(found, 1)) / relevant if relevant else 0.0
        out["RR"][q] = 1 / found[0] if found else 0.0
        out["P@5"][q] = sum(i <= 5 for i in found) / 5
    return out


@settings(max_examples=150, deadline=None)
@given(runs(st.sampled_from([0.5, 1.0, 1.0 + 1e-9, 2.0])), qrels_st)
def test_tied_graded_and_missing_cases_match_the_formula(run, qrels):
    ours, expected = score_run(run, qrels, list(MAPPING)), _by_hand(run, qrels)
    for name in MAPPING:
        assert ours[name] == pytest.approx(expected[name], abs=1e-6)


@settings(max_examples=100, deadline=None)
@given(runs(st.integers(0, 10_000).map(float)), qrels_st)
def test_without_ties_equal_to_pytrec_eval(run, qrels):
    run = {q: {d: s + i * 1e-3 for i, (d, s) in enumerate(ds.items())} for q, ds in run.items()}
    run = {q: ds for q, ds in run.items() if ds and q in qrels}
    oracle = pytrec_eval.RelevanceEvaluator(qrels, set(MAPPING.values())).evaluate(run)
    ours = score_run(run, qrels, list(MAPPING))
    for name, theirs in MAPPING.items():
        for q in qrels:
            assert ours[name][q] == pytest.approx(oracle.get(q, {}).get(theirs, 0.0), abs=1e-6)


def test_cutoff_of_reciprocal_rank_matches_truncation():
    run = {"q": {f"d{i:02}": -float(i) for i in range(20)}}
    assert score_run(run, {"q": {"d09": 1}}, ["RR@10"])["RR@10"]["q"] == pytest.approx(0.1)
    assert score_run(run, {"q": {"d10": 1}}, ["RR@10"])["RR@10"]["q"] == 0.0


def test_negative_control_trec_evals_own_order_of_ties_differs():
    run, qrels = {"q": {"a": 1.0, "b": 1.0}}, {"q": {"a": 1}}
    theirs = pytrec_eval.RelevanceEvaluator(qrels, {"recip_rank"}).evaluate(run)["q"]["recip_rank"]
    assert theirs == 0.5
    assert score_run(run, qrels, ["RR"])["RR"]["q"] == 1.0


@settings(max_examples=60, deadline=None)
@given(runs(st.integers(0, 10_000).map(float)), qrels_st)
def test_direct_scores_equal_those_of_ir_measures_own_providers(run, qrels):
    """The same names through ir-measures' own pipeline (RR@k is computed by MS MARCO's script there)."""
    run = {q: {d: s + i * 1e-3 for i, (d, s) in enumerate(ds.items())} for q, ds in run.items()}
    strict = {q: ds for q, ds in run.items() if ds and q in qrels}
    names = ["nDCG@3", "nDCG", "RR@2", "RR@10", "R@5", "AP", "AP@5", "P@5", "Success@5"]
    ours = score_run(run, qrels, names)
    if not strict:
        assert all(value == 0 for values in ours.values() for value in values.values())
        return
    judged = {q: qrels[q] for q in strict}
    for metric in ir_measures.evaluator([ir_measures.parse_measure(n) for n in names], judged).iter_calc(
        strict
    ):
        assert ours[str(metric.measure)][metric.query_id] == pytest.approx(metric.value, abs=1e-6)


def test_measures_that_trec_eval_lacks_come_from_other_providers():
    run, qrels = {"q": {"a": 3.0, "b": 2.0, "c": 1.0}}, {"q": {"b": 2, "c": 1}, "none": {"a": 1}}
    scores = score_run(run, qrels, ["nDCG(judged_only=True)@10", "AP(rel=2)", "Rprec"])
    assert scores["AP(rel=2)"] == {"q": 0.5, "none": 0.0}
    assert scores["Rprec"] == {"q": 0.5, "none": 0.0}
    assert scores["nDCG(judged_only=True)@10"]["q"] == pytest.approx(1.0)

"""Guard sets: where they come from, how they are judged, and that a model is asked once."""

from __future__ import annotations

import json
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from evaluation_data import write_corpus
from toys import ToyEncoder

from embedlib.config.evaluation import RetrievalGuard, SimilarityGuard
from embedlib.errors import DataError
from embedlib.evaluation import guards
from embedlib.evaluation.beir import read_beir_set
from embedlib.evaluation.guards import (
    GuardCache,
    GuardSet,
    default_guard,
    general_figures,
    guard_digest,
    guard_figure,
    guard_figures,
    guard_values,
)
from embedlib.evaluation.mteb import load_task
from embedlib.evaluation.significance import Interval
from embedlib.evaluation.statistics import Resampling
from embedlib.fingerprint import code_digest
from embedlib.stages.guards import guard_set


def resampling():
    return Resampling(np.random.default_rng(0), 200)


@pytest.fixture
def beir(tmp_path):
    folder = tmp_path / "guard"
    (folder / "qrels").mkdir(parents=True)
    documents = [{"_id": "a", "title": "aaa", "text": "x"}, {"_id": "b", "title": "", "text": "bbb"}]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(d) + "\n" for d in documents))
    queries = [{"_id": "q1", "text": "aa"}, {"_id": "q2", "text": "bb"}, {"_id": "q3", "text": "unjudged"}]
    (folder / "queries.jsonl").write_text("".join(json.dumps(q) + "\n" for q in queries))
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\ta\t1\nq2\ta\t1\nq2\tb\t0\n")
    return folder


def test_a_beir_folder_is_read_and_scored(beir):
    guard = guard_set(RetrievalGuard(folder=beir, split="test", measure="RR@10", margin=0.01))
    assert guard.content.query_ids == ["q1", "q2"]
    assert guard.content.doc_texts == ["aaa x", "bbb"]
    assert guard_values(guard, ToyEncoder()).tolist() == [1.0, 0.5]


@pytest.mark.parametrize(
    ("qrels", "message"),
    [
        ("q1\tnowhere\t1\n", "names no document: 'nowhere'"),
        ("nobody\ta\t1\n", "names no query: 'nobody'"),
        ("q1\ta\t0\n", "no judged query has a relevant document"),
        ("q1\ta\tx\n", "cannot be used"),
    ],
)
def test_bad_judgements_of_a_guard_are_refused(beir, qrels, message):
    (beir / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + qrels)
    with pytest.raises(DataError, match=message):
        read_beir_set(beir)


def test_a_missing_guard_is_refused(beir, tmp_path):
    with pytest.raises(DataError, match="no judgements for split 'dev'"):
        read_beir_set(beir, "dev")
    with pytest.raises(DataError):
        read_beir_set(tmp_path / "nowhere")
    with pytest.raises(DataError):
        guard_set(SimilarityGuard(file=tmp_path / "nowhere.tsv", margin=0.01))


def figure_of(guard, a, b):
    return guard_figure(guard, np.asarray(a), np.asarray(b), Resampling(np.random.default_rng(0), 500))


def test_a_guard_holds_only_if_the_whole_interval_lies_above_the_margin(beir):
    rng = np.random.default_rng(2)
    base = rng.random(300)
    guard = guard_set(RetrievalGuard(folder=beir, split="test", measure="nDCG@10", margin=0.05))
    same = figure_of(guard, base, base)
    assert same.passed
    assert same.difference == Interval(0, 0, 0, 300)
    worse = figure_of(guard, base - 0.06, base)
    assert not worse.passed
    assert worse.candidate - worse.base == pytest.approx(-0.06)
    unsure = figure_of(guard, base + np.where(np.arange(300) % 2, 0.3, -0.34), base)
    assert unsure.difference.mean > -0.05
    assert not unsure.passed


def test_a_similarity_guard_compares_rank_correlations(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("sentence1\tsentence2\tscore\n" + "".join(f"a{i}\tb{i}\t{i}\n" for i in range(40)))
    guard = guard_set(SimilarityGuard(file=path, margin=0.01))
    gold = np.arange(40.0)
    assert figure_of(guard, gold, gold).passed
    reversed_ = figure_of(guard, -gold, gold)
    assert (reversed_.base, reversed_.candidate) == pytest.approx((1.0, -1.0))
    assert not reversed_.passed
    found = general_figures([guard], lambda *_: gold, ["one"], resampling())
    assert [(r.measure, round(r.mean, 9)) for r in found] == [("Spearman", 1.0), ("Pearson", 1.0)]


def test_without_a_candidate_a_guards_name_says_whom_it_judges(beir):
    guard = guard_set(RetrievalGuard(folder=beir, split="test", measure="RR@10", margin=0.01))
    (figure,) = guard_figures([guard], lambda *_: np.ones(4), resampling(), ("two", "one"))
    assert figure.name == "guard, two"


def test_the_default_guard_leaves_out_what_the_corpus_holds(tmp_path):
    guard = default_guard(write_corpus(tmp_path / "one"), 0.05)
    assert 500 <= len(guard.content.doc_ids) <= 600
    assert len(set(guard.content.query_texts)) == len(guard.content.query_texts)
    held = dict.fromkeys(guard.content.doc_ids[:5], "some text")
    again = default_guard(write_corpus(tmp_path / "two", held), 0.05)
    assert not set(held) & set(again.content.doc_ids)


def test_the_default_guard_is_left_out_when_there_is_too_little_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr("embedlib.evaluation.guards.PACKAGES", ("no_such_package", "jinja2"))
    monkeypatch.setattr("embedlib.evaluation.guards.LEAST_DOCUMENTS", 10_000)
    assert default_guard(write_corpus(tmp_path), 0.05) is None


def test_a_models_values_are_computed_once_and_a_changed_set_anew(store, beir):
    encoder = ToyEncoder()
    encoders = {"base": encoder, "candidate": encoder}
    cache = GuardCache(store, encoders, {"base": "same", "candidate": "same"})
    guard = guard_set(RetrievalGuard(folder=beir, split="test", measure="RR@10", margin=0.01))
    first = guard_figures([guard], cache, resampling())
    assert encoder.calls == 2  # one model under two names: its documents and its queries, once
    again = GuardCache(store, encoders, {"base": "same", "candidate": "same"})
    guard_figures([guard], again, resampling())
    assert encoder.calls == 2
    assert first[0].base == first[0].candidate == 0.75
    rows = general_figures([guard], cache, ["base", "candidate"], resampling())
    assert [(r.system, r.measure, r.mean, r.n) for r in rows] == [
        ("base", "RR@10", 0.75, 2),
        ("candidate", "RR@10", 0.75, 2),
    ]
    assert encoder.calls == 2
    (beir / "queries.jsonl").write_text('{"_id": "q1", "text": "xx"}\n{"_id": "q2", "text": "bb"}\n')
    changed = guard_set(RetrievalGuard(folder=beir, split="test", measure="RR@10", margin=0.01))
    assert guard_digest(changed) != guard_digest(guard)
    cache(changed, "base")
    assert encoder.calls == 4


def test_values_of_an_encoder_s_earlier_code_are_not_its_own(beir, store, monkeypatch):
    encoder = ToyEncoder()
    cache = GuardCache(store, {"base": encoder}, {"base": "same"})
    guard = guard_set(RetrievalGuard(folder=beir, split="test", measure="RR@10", margin=0.01))
    cache(guard, "base")
    other = lambda module: code_digest(module) + " changed" * module.startswith("embedlib.models")  # noqa: E731
    monkeypatch.setattr(guards, "code_digest", other)
    cache(guard, "base")
    assert encoder.calls == 4


@pytest.fixture
def mteb(monkeypatch):
    """A stand-in for the package that offers what it offers of a task: type, split, data."""
    tasks = {}
    module = ModuleType("mteb")
    module.get_task = tasks.__getitem__
    monkeypatch.setitem(sys.modules, "mteb", module)

    def add(name, kind, dataset, multilingual=False):
        metadata = SimpleNamespace(type=kind, eval_splits=["test"], is_multilingual=multilingual)
        tasks[name] = SimpleNamespace(
            metadata=metadata,
            dataset=dataset,
            column_names=("sentence1", "sentence2"),
            load_data=lambda: None,
        )

    return add


def test_mteb_retrieval_and_similarity_tasks_become_guards(mteb):
    corpus = [
        {"id": "a", "title": "aaa", "text": ""},
        {"id": "b", "title": "", "text": "bbb"},
        {"id": "c", "text": " "},
    ]
    data = {
        "corpus": corpus,
        "queries": [{"id": "q", "text": "aa"}],
        "relevant_docs": {"q": {"a": 1}, "other": {"b": 1}},
    }
    mteb("Small", "Retrieval", {"default": {"test": data}})
    mteb("Pairs", "STS", {"test": {"sentence1": ["a", "b"], "sentence2": ["c", "d"], "score": [1, 2]}})
    retrieval = GuardSet("Small", load_task("Small"), 0.01, "RR@10")
    assert guard_values(retrieval, ToyEncoder()).tolist() == [1.0]
    assert retrieval.content.doc_ids == ["a", "b"]
    pairs = load_task("Pairs")
    assert (pairs.first, pairs.second, pairs.scores.tolist()) == (["a", "b"], ["c", "d"], [1.0, 2.0])


def test_what_mteb_cannot_give_is_refused(mteb, monkeypatch):
    mteb("Many", "Retrieval", {}, multilingual=True)
    mteb("Labels", "Classification", {})
    mteb("Empty", "Retrieval", {"default": {"test": {"corpus": [], "queries": [], "relevant_docs": {}}}})
    for name, message in [
        ("Many", "several languages"),
        ("Labels", "of type Classification"),
        ("Empty", "no query with a relevant document"),
        ("Unknown", "cannot be loaded"),
    ]:
        with pytest.raises(DataError, match=message):
            load_task(name)
    monkeypatch.setitem(sys.modules, "mteb", None)
    with pytest.raises(DataError, match="needs the package mteb"):
        load_task("Small")

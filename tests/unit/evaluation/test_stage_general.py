"""The stage general: models on sets that need no documents, and guards among models."""

from __future__ import annotations

import shutil

import pytest
from evaluation_data import DOCUMENTS
from published import save_bag_model
from records import json_of

from embedlib.config.evaluation import General, SimilarityGuard
from embedlib.contracts import read_rows
from embedlib.errors import DataError
from embedlib.evaluation.similarity import similarity_file
from embedlib.stages.base import run_stage
from embedlib.stages.general import STAGE as GENERAL
from embedlib.store import Recipe


@pytest.fixture
def models(store, tiny_model, tmp_path):
    """A model of words alone, and one that looks at the order of words too."""

    def kept(name, folder):
        def make(work):
            shutil.copytree(folder, work.out, dirs_exist_ok=True)
            return {}

        return store.build(Recipe(stage=name, kind="model", code=""), make).ref

    return {
        "words": kept("words", save_bag_model(tmp_path / "bag", tiny_model)),
        "order": kept("order", tiny_model),
    }


@pytest.fixture
def pairs(tmp_path):
    """Pairs scored by the share of words that they have in common."""
    path = tmp_path / "shared words" / "test.tsv"
    path.parent.mkdir()
    words = sorted({w for text in DOCUMENTS.values() for w in text.split()})
    lines = ["score\tsentence1\tsentence2"]
    for i in range(40):
        first = [words[(i + k) % len(words)] for k in range(4)]
        second = first[i % 5 :] + [words[(i + 7 + k) % len(words)] for k in range(i % 5)]
        lines.append(f"{len(set(first) & set(second))}\t{' '.join(first)}\t{' '.join(reversed(second))}")
    path.write_text("\n".join(lines) + "\n")
    return path


def options(pairs, baseline="words", margin=0.01, as_guard=True):
    chosen = (SimilarityGuard(file=pairs, margin=margin),)
    return General(baseline=baseline, draws=200, **{"guards" if as_guard else "sets": chosen})


def test_every_model_stands_beside_the_baseline_with_intervals(store, models, pairs):
    ref = run_stage(store, GENERAL, options(pairs, as_guard=False), **models).ref
    rows = json_of(ref, "general.json")
    assert [(r["system"], r["measure"]) for r in rows] == [
        ("words", "Spearman"), ("words", "Pearson"), ("order", "Spearman"), ("order", "Pearson"),
    ]  # fmt: skip
    assert all(r["low"] < r["mean"] < r["high"] and r["n"] == 40 for r in rows)
    assert json_of(ref, "guards.json") == []
    scores = list(read_rows(ref.file("scores.parquet")))
    assert len(scores) == 2 * 40
    assert {s["measure"] for s in scores} == {"cosine"}


def test_a_guard_holds_the_others_against_the_baseline(store, models, pairs):
    def guards(baseline, margin, **given):
        ref = run_stage(store, GENERAL, options(pairs, baseline, margin), **given).ref
        return [(g["name"], g["passed"], g["difference"]["mean"]) for g in json_of(ref, "guards.json")]

    ((name, passed, change),) = guards("words", 0.0, **models)
    assert (name, passed) == ("shared words/test, order", False)
    assert guards("words", 1.0, **models) == [(name, True, change)]
    ((name, _, other),) = guards("order", 0.0, **models)
    assert name == "shared words/test, words"
    assert other == pytest.approx(-change)
    assert guards("words", 0.0, words=models["words"]) == []


def test_a_set_that_is_gone_is_refused_before_any_model_is_loaded(store, models, pairs):
    pairs.unlink()
    with pytest.raises(DataError, match="do not exist"):
        run_stage(store, GENERAL, options(pairs), **models)


def test_similarity_sets_are_known_by_their_columns(pairs, tmp_path):
    assert similarity_file(pairs, "dev") == pairs
    assert similarity_file(pairs.parent, "test") == pairs
    assert similarity_file(pairs.parent, "dev") is None
    assert similarity_file(tmp_path / "nowhere.tsv", "test") is None
    documents = tmp_path / "documents.tsv"
    documents.write_text("id\ttitle\ttext\n")
    assert similarity_file(documents, "test") is None

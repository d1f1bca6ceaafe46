"""Documents beside an index, queries for tuning, the curve's picture, publishing with options."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from index_workspace import Workspace, words
from pydantic import ValidationError

from embedlib.config.index import CanaryQuery, Index, Publish
from embedlib.contracts import Corpus
from embedlib.disk import file_lock
from embedlib.errors import CorruptArtifact, VerificationError
from embedlib.index import catalog, documents
from embedlib.index.documents import Documents, write_documents
from embedlib.index.history import history
from embedlib.index.info import Point, SearchSettings
from embedlib.index.queries import sample_queries
from embedlib.index.retention import remove_unused
from embedlib.index.search import Searcher
from embedlib.index.tune import plot_curve, setting_label
from embedlib.stages.publish import publish_release


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_documents_come_back_row_by_row_across_batches(workspace, tmp_path, monkeypatch):
    monkeypatch.setattr(documents, "BATCH", 7)
    corpus = Corpus(workspace.corpus(words(20), {"doc0003": {"a": 1}}).path)
    assert write_documents(corpus, tmp_path / "documents.arrow") == 20
    stored = Documents(tmp_path)
    assert [stored.get(row) for row in range(20)] == list(corpus.documents())
    assert stored.column("doc_id") == corpus.ids
    assert len(stored) == 20


def test_documents_that_are_missing_or_cut_are_a_corrupt_artifact(workspace, tmp_path):
    with pytest.raises(CorruptArtifact, match=r"documents\.arrow"):
        Documents(tmp_path)
    write_documents(Corpus(workspace.corpus(words(20)).path), tmp_path / "documents.arrow")
    path = tmp_path / "documents.arrow"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CorruptArtifact):
        Documents(tmp_path)


def test_too_few_real_queries_are_made_up_with_beginnings_of_documents(workspace, rng):
    corpus = Corpus(workspace.corpus(words(30, length=20)).path)
    queries = workspace.queries({"q1": "one", "q2": "two", "q3": "one"}, split="test")
    sample = sample_queries(queries.path, corpus, 10, rng=rng)
    assert sample.source == "2 test + 8 document"
    assert sample.texts[:2] == ["one", "two"]
    assert all(len(text.split()) == 8 for text in sample.texts[2:])


def test_train_queries_are_not_used_for_tuning(workspace, rng):
    corpus = Corpus(workspace.corpus(words(30)).path)
    queries = workspace.queries({f"q{i}": f"query {i}" for i in range(200)}, split="train")
    assert sample_queries(queries.path, corpus, 10, rng=rng).source == "10 document"


def test_more_queries_than_asked_for_are_sampled(workspace, rng):
    corpus = Corpus(workspace.corpus(words(30)).path)
    queries = workspace.queries({f"q{i}": f"query {i}" for i in range(200)})
    sample = sample_queries(queries.path, corpus, 60, rng=rng)
    assert sample.source == "60 dev"
    assert len(set(sample.texts)) == 60


def test_the_curve_is_drawn_the_same_every_time(tmp_path):
    curve = [
        Point(settings=SearchSettings(parameter="nprobe", value=2**i), recall=0.5 + i / 10) for i in range(4)
    ]
    for name in ("a.png", "b.png"):
        plot_curve(curve, 0.95, 10, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert setting_label(SearchSettings(parameter="efSearch", value=64, rescore=4)) == "efSearch=64 x4"
    assert setting_label(SearchSettings()) == "exact"


def test_publishing_with_options_checks_canaries_and_retires_old_releases(workspace: Workspace):
    config = Publish(keep=1, self_checks=3)
    for seed in range(4):
        release = publish_release(
            workspace.root,
            config,
            {**workspace.parts(words(12, seed), bm25=False), "decision": None},
            why="test",
        )
    assert release.number == 4
    assert catalog.numbers(workspace.root) == [3, 4]
    assert history(workspace.root)[-1]["why"] == "test"
    wrong = Publish(canaries=(CanaryQuery(query="x", doc_id="ghost"),))
    with pytest.raises(VerificationError, match="ghost"):
        publish_release(workspace.root, wrong, workspace.parts(words(12, 9), bm25=False))
    assert catalog.current_number(workspace.root) == 4


@pytest.mark.parametrize(
    ("decided", "bm25", "searched"),
    [
        ({"this": {"mode": "hybrid"}}, True, "hybrid"),
        ({"this": {"mode": "hybrid"}}, False, "dense"),
        ({"other": {"mode": "hybrid"}}, True, "dense"),
    ],
    ids=["as decided", "no BM25 index", "of another model"],
)
def test_a_release_is_searched_as_its_decision_proved_best(workspace: Workspace, decided, bm25, searched):
    parts = workspace.parts(words(12), bm25=bm25)
    record = {"search": decided, "models": {"this": parts["model"].digest, "other": "another"}}
    parts["decision"] = workspace.decision(record)
    publish_release(workspace.root, Publish(self_checks=3), parts)
    searcher = Searcher(workspace.root)
    assert {hit.mode for hit in searcher.search("a b c", k=3)} == {searched}
    assert {hit.mode for hit in searcher.search("a b c", k=3, mode="dense")} == {"dense"}


def test_old_large_artifacts_that_no_kept_release_names_are_removed(workspace: Workspace):
    kept = workspace.parts(words(12), bm25=False)
    workspace.publish(kept)
    unused = workspace.parts(words(12, 1), bm25=False)
    later = datetime.now(UTC) + timedelta(days=10)
    assert remove_unused(workspace.store, older_than_days=11, at=later) == []
    removed = remove_unused(workspace.store, older_than_days=9, at=later)
    found = {(ref.kind, ref.fingerprint) for ref in removed}
    assert found == {(kind, unused[kind].fingerprint) for kind in ("corpus", "vectors", "index")}
    assert len(Searcher(workspace.root).search("abc", k=12)) == 12
    assert workspace.parts(words(12, 1), bm25=False)["index"].digest  # it is simply built again


def test_an_old_artifact_that_a_run_reuses_is_not_removed_under_it(workspace: Workspace):
    corpus = workspace.corpus(words(12))
    os.utime(corpus.path, (0, 0))
    assert workspace.corpus(words(12)) == corpus
    reused = datetime.fromtimestamp(corpus.path.stat().st_mtime, UTC)
    assert reused > datetime.now(UTC) - timedelta(hours=1)
    later = datetime.now(UTC) + timedelta(days=10)
    os.utime(corpus.path, (later.timestamp(), later.timestamp()))
    assert remove_unused(workspace.store, older_than_days=9, at=later) == []
    assert remove_unused(workspace.store, older_than_days=9, at=later + timedelta(days=10)) == [corpus]


def test_an_artifact_that_is_being_built_or_looked_up_is_not_removed(workspace: Workspace):
    unused = workspace.corpus(words(12))
    later = datetime.now(UTC) + timedelta(days=10)
    with file_lock(workspace.store.locks_dir / f"{unused.fingerprint}.lock"):
        assert remove_unused(workspace.store, older_than_days=9, at=later) == []
    assert remove_unused(workspace.store, older_than_days=9, at=later) == [unused]
    assert workspace.store.find("corpus", unused.fingerprint) is None


@pytest.mark.parametrize(
    "options",
    [
        {"recall_target": 0.0},
        {"recall_target": 1.1},
        {"memory_mb": 0},
        {"dimension": 0},
        {"tuning_queries": 0},
        {"nprobe": 3},
    ],
)
def test_index_options_out_of_bounds_are_refused(options):
    with pytest.raises(ValidationError):
        Index(**options)


def test_a_blank_canary_is_refused():
    with pytest.raises(ValidationError, match="must hold text"):
        Publish(canaries=({"query": "  ", "doc_id": "a"},))


def test_threads_do_not_count_in_the_fingerprint():
    assert Index(threads=1).identity() == Index().identity()
    assert "factory" in Index().identity()

"""A reranker through the real flows: refused with its figures, or live, kept by a refresh and dropped by another model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from records import json_of

from embedlib.config.root import load_config
from embedlib.contracts import read_judgements
from embedlib.evaluation.choice import Choice
from embedlib.evaluation.measures import score_run
from embedlib.evaluation.records import EvaluationRecord
from embedlib.index import catalog
from embedlib.index.search import Searcher
from embedlib.monitoring.live import open_live
from embedlib.stages.push import open_target
from embedlib.store import Store
from embedlib.stores.searcher import live_collection
from tests.published import publish_base, small_config, write_beir

pytestmark = [
    pytest.mark.timeout(400),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def config(tmp_path_factory, tiny_model: Path):
    """A release of a random model, searched by its vectors: nearly any reranker is better than that."""
    folder = tmp_path_factory.mktemp("reranker")
    data = write_beir(folder / "data", documents=120)
    pytest.importorskip("lancedb")
    target = {"type": "lancedb", "address": str(folder / "store"), "collection": "documents"}
    made = small_config(
        folder / "ws",
        data,
        tiny_model,
        evaluate={"guards": [], "search": "dense"},
        publish={"target": target},
        seed=0,
    )
    publish_base(made)
    return made


def with_rerank(config, **options):
    small = {"start": "served", "precision": "fp32", "epochs": 0.5, "max_length": 48, "latency_ms": 60_000}
    return load_config(values={**config.model_dump(), "rerank": {**small, **options}})


def shared_words(pairs):
    """A reranker that needs no training: how many of the query's words the document has."""
    return np.array([len(set(q.split()) & set(d.split())) for q, d in pairs], dtype=np.float32)


def run_rerank(config, **options):
    from flows.rerank import rerank

    decision = Store(config.workspace).get("decision", rerank(with_rerank(config, **options)))
    return json_of(decision, "decision.json")


def test_what_is_not_fast_enough_is_refused_with_its_time_and_changes_nothing(config) -> None:
    before = catalog.current(config.workspace)
    record = run_rerank(config, latency_ms=1e-3)
    assert record["verdict"] == "keep"
    assert "rerank.latency_ms" in record["reasons"][-1]
    assert record["numbers"]["p95_ms"] > 1e-3
    assert record["rerank"] is None
    assert catalog.current(config.workspace).number == before.number


def test_a_reranker_that_learned_nothing_is_refused_with_its_figures(config) -> None:
    record = run_rerank(config, learning_rate=1e-9)
    assert record["verdict"] == "keep"
    assert record["numbers"]["comparison"]["difference"]["n"] == record["numbers"]["queries"] == 30
    assert "nDCG@10 against dense alone" in record["reasons"][0]
    assert {"depth", "weight", "dev", "p95_ms"} <= set(record["numbers"]["tried"][0])


def test_a_proven_one_is_live_answers_as_it_was_tested_and_stays_at_a_refresh(config, monkeypatch) -> None:
    from flows.distil import distil
    from flows.evaluate import evaluate
    from flows.refresh import refresh

    monkeypatch.setattr("embedlib.stages.reranking.load_cross_encoder", lambda folder: shared_words)
    monkeypatch.setattr("embedlib.index.second_stage.load_cross_encoder", lambda folder: shared_words)
    monkeypatch.setattr("embedlib.stages.choice.load_cross_encoder", lambda folder: shared_words)
    record = run_rerank(config, depth=30, epochs=0.6)
    assert record["verdict"] == "promote"
    assert record["numbers"]["two_stages"] > record["numbers"]["first_stage"] + 0.02
    live = catalog.current(config.workspace)
    assert live.rerank.model_dump() == record["rerank"]
    assert live.parts["reranker"].digest == record["models"]["reranker"]
    assert open_live(config.workspace).test_score == record["numbers"]["two_stages"]
    with open_target(config.publish.target) as store:
        assert live_collection(store)[1].release == live.number

    searcher = Searcher(config.workspace)
    judged = read_judgements(live.ref(config.workspace, "index").parents["queries"].path, "test")
    run = {i: {h.doc_id: h.score for h in searcher.search(q, k=10)} for i, q in judged.queries.items()}
    values = score_run(run, judged.qrels, ["nDCG@10"])["nDCG@10"]
    assert np.mean(list(values.values())) == pytest.approx(record["numbers"]["two_stages"], abs=1e-6)

    (measured,) = evaluate(config).collections.values()
    choice = Choice.read(measured.choice.path)
    (answer,) = (row for row in choice.alternatives if row.system.startswith("two-stage:"))
    assert answer.system == f"two-stage:{Path(config.model.name).name}"
    assert answer.quality.mean == pytest.approx(record["numbers"]["two_stages"], abs=1e-6)
    assert f"first {live.rerank.depth} re-ranked" in choice.note
    assert choice.note in measured.report.file("report.html").read_text(encoding="utf-8")

    query = "river stone window"
    first = {h.doc_id: h.score for h in searcher.search(query, k=30, mode="dense")}
    hits = searcher.search(query, k=5)
    expected = [
        first[h.doc_id] + live.rerank.weight * shared_words([(query, f"{h.title} {h.text}")])[0] for h in hits
    ]
    assert [h.score for h in hits] == pytest.approx(expected, rel=1e-5)

    data = Path(config.ingest.source.path)
    with (data / "corpus.jsonl").open("a") as stream:
        stream.write('{"_id": "new", "title": "river stone", "text": "window garden"}\n')
    refresh(config)
    after = catalog.current(config.workspace)
    assert (after.number, after.rerank) == (live.number + 1, live.rerank)
    assert "new" in [h.doc_id for h in Searcher(config.workspace).search("river stone window garden", k=40)]

    distil(
        load_config(
            values={**config.model_dump(), "distil": {"objective": "speed", "keep": 0.01, "batch_size": 16}}
        )
    )
    student = catalog.current(config.workspace)
    assert student.parts["model"].digest != live.parts["model"].digest
    assert student.rerank is None
    assert "reranker" not in student.parts

    (measured,) = evaluate(config).collections.values()
    found = EvaluationRecord.read(measured.evaluation.path)
    assert set(found.plans) == {Path(config.model.name).name, "live"}
    assert not any(row.system.startswith("two") for row in Choice.read(measured.choice.path).alternatives)

from __future__ import annotations

from pathlib import Path

import pytest
import small_artifacts as small
from records import json_of

from embedlib.artifact import ArtifactRef
from embedlib.config.pairs import Synthesize
from embedlib.contracts import read_rows
from embedlib.errors import MismatchError
from embedlib.stages.base import run_stage
from embedlib.stages.synthesize import STAGE, chosen_origins
from embedlib.store import Store

TEST_QUERY = small.DOCUMENTS[3][1]  # another document's title, word for word
LABELS = {
    "train": {"q1": "otters in rivers", "q2": TEST_QUERY, "q3": "unjudged"},
    "test": {"t1": TEST_QUERY},
}
QRELS = {
    "train": {"q1": {"d000": 2, "d001": 1, "d002": 0, "d039": 1}, "q2": {"d005": 1}},
    "test": {"t1": {"d003": 1}},
}


@pytest.fixture
def run(store: Store, tiny_model: Path):
    corpus, model = small.corpus(store), small.model(store, tiny_model)
    vectors = small.vectors(store, corpus, model)

    def run(config: Synthesize, queries: ArtifactRef | None = None) -> ArtifactRef:
        queries = queries or small.queries(store, LABELS, QRELS, held_out=["d039"])
        inputs = {"corpus": corpus, "queries": queries, "model": model, "vectors": vectors}
        return run_stage(store, STAGE, config, **inputs).ref

    return run


def pairs(ref: ArtifactRef) -> list[dict]:
    return list(read_rows(ref.file("pairs.parquet")))


def test_labels_alone_when_there_are_enough(run) -> None:
    ref = run(Synthesize(label_minimum=2))
    rows = pairs(ref)
    assert [(r["query_id"], r["doc_id"], r["score"]) for r in rows] == [
        ("q1", "d000", 2.0),
        ("q1", "d001", 1.0),
    ]
    assert json_of(ref, "report.json")["origins"]["label"] == {
        "made": 4,
        "like_dev_or_test": 1,
        "held_out": 1,
        "not_in_corpus": 0,
        "kept": 2,
    }


def test_few_labels_join_the_label_free_mix(run) -> None:
    ref = run(Synthesize(label_minimum=3))
    origins = {r["origin"] for r in pairs(ref)}
    assert origins == {"label", "title", "sentence", "crop"}
    report = json_of(ref, "report.json")
    assert report["pairs"] == len(pairs(ref)) == ref.manifest.summary["pairs"]
    for row in report["origins"].values():
        removed = sum(v for k, v in row.items() if k not in ("made", "kept", "kept_share"))
        assert row["made"] - removed == row["kept"]


def test_no_pair_resembles_a_test_query_or_comes_from_a_held_out_document(run) -> None:
    rows = pairs(run(Synthesize(origins=("title", "sentence"), round_trip_k=0, near_identical=1.0)))
    assert len(rows) > 20
    assert TEST_QUERY not in {r["query"] for r in rows}
    assert "d039" not in {r["doc_id"] for r in rows}


def test_samples_show_the_positive_without_the_query(run) -> None:
    samples = json_of(run(Synthesize(origins=("sentence",))), "samples.json")
    assert len(samples) == 10
    assert all(s["query"] not in s["positive"] for s in samples)


def test_the_same_seed_gives_the_same_bytes(run, store: Store, tiny_model: Path) -> None:
    first = run(Synthesize(origins=("title",)))
    second = run(Synthesize(origins=("title",), max_pairs=1_999))
    assert first.fingerprint != second.fingerprint
    assert first.digest == second.digest


def test_vectors_of_another_model_are_refused(store: Store, tiny_model: Path, minilm: Path) -> None:
    corpus, model = small.corpus(store), small.model(store, tiny_model)
    vectors = small.vectors(store, corpus, model)
    (store.root / "other").mkdir()
    (store.root / "other" / "modules.json").write_text("[]")
    other = small.model(store, store.root / "other")
    with pytest.raises(MismatchError):
        run_stage(
            store,
            STAGE,
            Synthesize(),
            corpus=corpus,
            queries=small.queries(store, LABELS),
            model=other,
            vectors=vectors,
        )


def test_origins_are_chosen_by_what_there_is() -> None:
    seq2seq = {"model": "some/t5"}
    assert chosen_origins(Synthesize(), 500) == ("label",)
    assert chosen_origins(Synthesize(), 499) == ("label", "title", "heading", "sentence", "crop")
    assert chosen_origins(Synthesize(seq2seq=seq2seq), 0)[-1] == "seq2seq"
    assert chosen_origins(Synthesize(label_minimum=0), 0) != ("label",)
    assert chosen_origins(Synthesize(origins=("keywords",)), 9999) == ("keywords",)


@pytest.mark.parametrize("origin", ["seq2seq", "llm"])
def test_a_generator_without_its_section_is_a_mistake_of_the_configuration(origin: str) -> None:
    with pytest.raises(ValueError, match=f"needs the section synthesize.{origin}"):
        Synthesize(origins=(origin,))


LLM = {"model": "any", "base_url": "http://localhost:1/v1", "queries_per_document": 2, "domain": "otters"}


@pytest.mark.parametrize("spent", [False, True])
def test_queries_of_a_language_model_join_the_pairs_also_when_the_budget_ends(
    run, monkeypatch: pytest.MonkeyPatch, spent: bool
) -> None:
    from embedlib.errors import BudgetExhausted
    from embedlib.pairs import llm

    asked: dict[str, object] = {}

    def generate(documents, settings, writer, *, n, ledger, report):
        asked.update(base_url=settings.base_url, writer=writer, n=n, ledger=ledger)
        for doc_id, text in list(documents)[: 5 if spent else 40]:
            yield doc_id, f"why is {text.split()[1]} number {doc_id} here"
        if spent:
            raise BudgetExhausted("all tokens are used")

    monkeypatch.setattr(llm, "generate_queries", generate)
    ref = run(Synthesize(origins=("llm",), llm=LLM, round_trip_k=0, near_identical=1.0))
    assert {r["origin"] for r in pairs(ref)} == {"llm"}
    assert json_of(ref, "report.json")["origins"]["llm"]["made"] == (5 if spent else 39)  # one is held out
    assert json_of(ref, "report.json").get("llm_budget_exhausted", False) is spent
    assert "llm_cost" in ref.manifest.summary
    assert (asked["n"], asked["writer"].domain) == (2, "otters")


def test_a_budget_spent_before_the_first_query_ends_the_run(run, monkeypatch: pytest.MonkeyPatch) -> None:
    from embedlib.errors import BudgetExhausted
    from embedlib.pairs import llm

    def generate(*args, **kwargs):
        raise BudgetExhausted("all tokens are used")
        yield

    monkeypatch.setattr(llm, "generate_queries", generate)
    with pytest.raises(BudgetExhausted):
        run(Synthesize(origins=("llm",), llm=LLM))

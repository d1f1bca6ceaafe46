from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import small_artifacts as small
from records import json_of

from embedlib.artifact import ArtifactRef
from embedlib.config.pairs import Mine
from embedlib.contracts import CandidatePair, Corpus, read_rows
from embedlib.errors import DataError
from embedlib.evaluation.dev import DevSet
from embedlib.mining.pairs import MiningPairs
from embedlib.mining.teacher import HybridTeacher
from embedlib.mining.teacher_check import TOLERANCE, check_teacher
from embedlib.models.encoder import Encoder
from embedlib.stages.base import run_stage
from embedlib.stages.mine import STAGE, chosen_teacher
from embedlib.store import Recipe, Store

D = small.DOCUMENTS
#: d000 again under two new ids, and once nearly the same.
PLANTED = [
    ("x1", D[0][1], D[0][2]),
    ("x2", D[0][1], D[0][2]),
    ("x3", D[0][1], D[0][2] + " Indeed."),
]
DOCUMENTS = sorted([*D, *PLANTED])
PAIRS = [
    ("q1", "which otter swims quickly", "d000", "label"),
    ("q1", "which otter swims quickly", "d001", "label"),
    ("q2", "granite breaks under load", "d015", "label"),
    *((f"t{i}", f"{D[i][1]} seen in spring", D[i][0], "label") for i in range(20, 26)),
]
#: Words that only d008 has both of; the model ranks it far below.
DEV_QUERY = "under 8"
JUDGED = {
    "train": {"q1": {"d000": 1, "d001": 1}},
    "dev": {"other": {"d002": 1, "d003": 0}},
}


@pytest.fixture
def world(store: Store, tiny_model: Path) -> dict[str, ArtifactRef]:
    corpus, model = small.corpus(store, DOCUMENTS), small.model(store, tiny_model)
    texts = {"train": {"q1": PAIRS[0][1]}, "dev": {"other": "Which otter swims  quickly?"}}
    return {
        "corpus": corpus,
        "queries": small.queries(store, texts, JUDGED),
        "pairs": small.pairs(store, PAIRS),
        "model": model,
        "vectors": small.vectors(store, corpus, model),
    }


def run(store: Store, world: dict[str, Any], **options: Any) -> ArtifactRef:
    return run_stage(store, STAGE, Mine(**options), **world).ref


def examples(ref: ArtifactRef) -> list[dict[str, Any]]:
    return list(read_rows(ref.file("examples.parquet")))


LOOSE = {"relative_margin": None, "depth": 50, "negatives": 30, "teacher": "none"}


@pytest.mark.parametrize("miners", [("dense",), ("bm25",), ("dense", "bm25")])
def test_no_negative_is_judged_relevant_in_any_split_nor_a_copy_of_a_positive(
    store: Store, world: dict[str, Any], miners: tuple[str, ...]
) -> None:
    rows = examples(run(store, world, miners=miners, **LOOSE))
    assert len(rows) == len(PAIRS)
    first = rows[0]
    assert first["positive_id"] == "d000"
    assert len(first["negative_ids"]) >= 3
    # both own positives, d002 (relevant to the same words in dev), and copies of d000
    assert not set(first["negative_ids"]) & {"d000", "d001", "d002", "x1", "x2"}


def test_near_copies_of_a_positive_are_taken_out_by_the_near_duplicate_filter(
    store: Store, world: dict[str, Any], minilm: Path
) -> None:
    world["model"] = small.model(store, minilm)  # random weights see every text alike
    world["vectors"] = small.vectors(store, world["corpus"], world["model"])
    filtered = run(store, world, miners=("bm25",), **LOOSE)
    unfiltered = run(store, world, miners=("bm25",), near_duplicate=1.0, **LOOSE)
    assert "x3" not in examples(filtered)[0]["negative_ids"]
    assert "x3" in examples(unfiltered)[0]["negative_ids"]
    assert json_of(filtered, "report.json")["candidates"]["near_duplicate"]["bm25"] >= 1


def test_an_example_holds_aligned_lists_and_pairs_keep_their_order(
    store: Store, world: dict[str, Any]
) -> None:
    rows = examples(run(store, world, **LOOSE))
    assert [(r["query_id"], r["positive_id"]) for r in rows] == [(p[0], p[2]) for p in PAIRS]
    for row in rows:
        assert len(row["negative_ids"]) == len(row["origins"]) == len(row["scores"]) > 0
        assert set(row["origins"]) <= {"dense", "bm25", "dense+bm25"}
        assert row["teacher_positive"] is None
        assert row["teacher_scores"] is None


def test_the_margin_holds_for_the_lowest_positive(store: Store, world: dict[str, Any]) -> None:
    options = LOOSE | {"absolute_margin": 0.02}
    ref = run(store, world, **options)
    corpus, vectors = Corpus(world["corpus"].path), small.load_vectors(world["vectors"])
    encoder = small.load(world["model"])
    row_of = corpus.row_of
    for row in examples(ref):
        query = encoder.encode_queries([row["query"]])[0]
        positives = [p[2] for p in PAIRS if p[1] == row["query"]]
        positives += ["d002"] if row["query_id"] == "q1" else []
        lowest = min(float(query @ vectors[row_of[p]]) for p in positives)
        assert all(score + 0.02 <= lowest + 1e-5 for score in row["scores"])
        again = [float(query @ vectors[row_of[d]]) for d in row["negative_ids"]]
        assert again == pytest.approx(row["scores"], abs=1e-5)


def test_the_report_adds_up(store: Store, world: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embedlib.mining.report.MINIMUM", 3)
    ref = run(store, world, miners=("dense",), relative_margin=0.02, negatives=3, teacher="none")
    report, rows = json_of(ref, "report.json"), examples(ref)
    drawn = sum(len(r["negative_ids"]) for r in rows)
    assert report["examples"] == len(rows)
    assert report["negatives"] == drawn == sum(report["margins"]["counts"])
    assert report["candidates"]["drawn"] == {"dense": drawn}
    assert report["candidates"]["judged_relevant"]["dense"] > 0
    assert report["too_few"]["examples"] == sum(len(r["negative_ids"]) < 3 for r in rows)
    assert len(json_of(ref, "samples.json")) == len(PAIRS)


LABEL_FREE = [(q, t, d, "sentence") for q, t, d, _ in PAIRS]


def with_dev(store: Store, world: dict[str, Any], query: str, relevant: str) -> dict[str, Any]:
    """The world with label-free pairs and one judged dev query."""
    queries = small.queries(store, {"dev": {"other": query}}, {"dev": {"other": {relevant: 1}}})
    return {**world, "queries": queries, "pairs": small.pairs(store, LABEL_FREE)}


def test_a_hybrid_that_is_clearly_worse_on_dev_does_not_teach(store: Store, world: dict[str, Any]) -> None:
    ref = run(store, with_dev(store, world, "swims of", "d033"))
    summary = ref.manifest.summary
    assert summary["dev_hybrid"] < summary["dev_student"] - TOLERANCE
    assert json_of(ref, "report.json")["teacher"] == "none"
    assert all(row["teacher_scores"] is None for row in examples(ref))


def test_derived_dev_queries_have_no_say_in_who_teaches() -> None:
    dev = DevSet(["q"], ["swims of"], ["d"], ["an otter"], {"q": {"d": 1}}, name="derived")
    pairs = [CandidatePair(*pair) for pair in LABEL_FREE]
    every = np.arange(len(pairs))
    mining = MiningPairs(pairs, every, [pair.query for pair in pairs], every)
    unused = cast("Encoder", None)  # nothing is ranked
    assert chosen_teacher(mining, lambda: dev, unused, unused) == ("none", None)


def test_the_teacher_check_uses_the_vectors_that_are_there() -> None:
    class QueriesOnly:
        """An encoder that cannot encode documents."""

        def encode_queries(self, texts):
            return np.array([[1.0, 0.0]], dtype=np.float32)

    dev = DevSet(["q"], ["otter"], ["a", "b"], ["an otter swims", "a fox"], {"q": {"a": 1}})
    vectors = np.array([[0.0, 1.0], [1.0, 0.0]], dtype=np.float32)
    check = check_teacher(dev, cast("Encoder", QueriesOnly()), vectors)
    assert check.student == pytest.approx(1 / np.log2(3))  # by vectors the answer is second
    assert check.queries == 1
    assert check_teacher(dev, cast("Encoder", QueriesOnly()), vectors[::-1]).student == 1.0


def test_without_a_dev_query_the_pairs_teach(store: Store, world: dict[str, Any]) -> None:
    world |= {"pairs": small.pairs(store, LABEL_FREE), "queries": small.queries(store, {"dev": {}}, {})}
    assert json_of(run(store, world), "report.json")["teacher"] == "none"


def test_label_free_pairs_get_the_hybrid_teacher(store: Store, world: dict[str, Any]) -> None:
    ref = run(store, with_dev(store, world, DEV_QUERY, "d008"))
    summary = ref.manifest.summary
    assert summary["dev_hybrid"] > summary["dev_student"]
    rows, teacher = examples(ref), HybridTeacher.load(ref.file("teacher"))
    row_of = Corpus(world["corpus"].path).row_of
    assert json_of(ref, "report.json")["teacher"] == "hybrid"
    for at, row in enumerate(rows):
        documents = np.array([row_of[d] for d in (row["positive_id"], *row["negative_ids"])])
        expected = teacher.scores(np.array([at]), documents)[0]
        assert [row["teacher_positive"], *row["teacher_scores"]] == pytest.approx(expected, abs=1e-4)
    assert all(r["teacher_positive"] > np.median(r["teacher_scores"]) for r in rows)


def test_a_larger_encoder_teaches_and_encodes_each_document_once(
    store: Store, world: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from toys import ToyEncoder

    from embedlib.mining import scoring

    toy = ToyEncoder()
    monkeypatch.setattr(scoring, "load_encoder", lambda name: toy)
    monkeypatch.setattr("embedlib.mining.examples.BATCH_QUERIES", 2)
    options = {"teacher": "encoder", "teacher_model": "all-MiniLM-L6-v2"}
    rows = examples(run(store, world, **options))
    texts = {d: f"{title} {text}" for d, title, text in DOCUMENTS}
    used = {d for row in rows for d in (row["positive_id"], *row["negative_ids"])}
    assert sum(t in set(texts.values()) for t in toy.texts) == len(used)
    fresh = ToyEncoder()
    for row in rows:
        query = fresh.encode([row["query"]])[0]
        expected = fresh.encode([texts[row["positive_id"]]])[0] @ query
        assert row["teacher_positive"] == pytest.approx(expected, abs=1e-5)


def test_a_cross_encoder_rescores_and_filters(
    store: Store, world: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from embedlib.mining import examples as module

    def score(pairs):  # logits: minus the number of words a document has more than the query has letters
        return np.array([-float(len(text)) for _, text in pairs], np.float32)

    monkeypatch.setattr(module, "load_cross_encoder", lambda name: score)
    options = LOOSE | {"cross_encoder": "all-MiniLM-L6-v2", "relative_margin": 0.05}
    for row in examples(run(store, world, **options)):
        lengths = {d: -float(len(f"{title} {text}")) for d, title, text in DOCUMENTS}
        positives = [p[2] for p in PAIRS if p[1] == row["query"]] + (
            ["d002"] if row["query_id"] == "q1" else []
        )
        bar = min(lengths[p] for p in positives)
        assert row["scores"] == [lengths[d] for d in row["negative_ids"]]
        assert all(score <= bar - 0.05 * abs(bar) + 1e-3 for score in row["scores"])


def test_origins_that_the_probe_dropped_give_no_examples(store: Store, world: dict[str, Any]) -> None:
    world["pairs"] = small.pairs(store, [*PAIRS, ("z", "a keyword bag", "d030", "keywords")])

    def make(work: Any) -> dict[str, Any]:
        (work.out / "probe.json").write_text('{"kept": ["label"], "origins": {}}')
        return {}

    world["probe"] = store.build(Recipe("p", "probe", "1"), make).ref
    assert {r["origin"] for r in examples(run(store, world))} == {"label"}


def test_a_killed_run_mines_only_what_is_missing_and_ends_alike(
    store: Store, world: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from embedlib.mining import examples as module

    monkeypatch.setattr(module, "BATCH_QUERIES", 2)
    options = {"teacher": "hybrid"}
    mine_block, mined = module._mine_block, []

    def dying(block, *rest):
        if len(mined) == 2:
            raise KeyboardInterrupt
        mined.append(block.number)
        return mine_block(block, *rest)

    monkeypatch.setattr(module, "_mine_block", dying)
    with pytest.raises(KeyboardInterrupt):
        run(store, world, **options)
    again = []
    monkeypatch.setattr(module, "_mine_block", lambda b, *r: (again.append(b.number), mine_block(b, *r))[1])
    resumed = run(store, world, **options)
    assert (mined, again) == ([0, 1], [2, 3])
    whole = run(Store(store.root.parent / "other"), world, **options)
    assert whole.digest == resumed.digest


def test_no_pair_is_an_error(store: Store, world: dict[str, Any]) -> None:
    world["pairs"] = small.pairs(store, [])
    with pytest.raises(DataError, match="no training pair"):
        run(store, world)


def test_a_pair_of_an_unknown_document_is_an_error(store: Store, world: dict[str, Any]) -> None:
    world["pairs"] = small.pairs(store, [("q", "query", "nowhere", "label")])
    with pytest.raises(DataError, match="'nowhere'"):
        run(store, world)


@pytest.mark.parametrize("teacher", ["cross-encoder", "encoder"])
def test_a_teacher_by_model_needs_the_model(teacher: str) -> None:
    with pytest.raises(ValueError, match="needs teacher_model"):
        Mine(teacher=teacher)

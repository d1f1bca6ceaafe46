"""The stages evaluate and decide, run through the store on small artifacts."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from evaluation_data import DOCUMENTS, write_corpus, write_queries
from records import json_of

from embedlib.config.data import Ingest
from embedlib.config.evaluation import Decide, Evaluate, Report, SimilarityGuard
from embedlib.contracts import EXAMPLES, Corpus, read_rows, write_table
from embedlib.errors import ConfigError, DataError, MismatchError
from embedlib.evaluation.choice import Choice
from embedlib.evaluation.dev import DevSet
from embedlib.evaluation.lineage import Provenance
from embedlib.evaluation.records import Decision, EvaluationRecord
from embedlib.json_file import write_json
from embedlib.models.local import load_encoder
from embedlib.stages.base import run_stage
from embedlib.stages.choice import STAGE as CHOICE
from embedlib.stages.decide import STAGE as DECIDE
from embedlib.stages.evaluate import STAGE as EVALUATE
from embedlib.stages.ingest import STAGE as INGEST
from embedlib.stages.report import STAGE as REPORT
from embedlib.store import Recipe
from embedlib.vectors import VectorsInfo

EVALUATION = Evaluate(draws=200, guards=(), measures=("nDCG@10", "R@5"))


def artifact(store, kind, name, fill):
    """An artifact whose folder ``fill`` writes."""

    def make(work):
        fill(work.out)
        return {}

    return store.build(Recipe(stage=name, kind=kind, code=name), make).ref


def decision_with(search, **models):
    return Decision(
        verdict="keep", headline="Kept.", reasons=(), advice=(), decided_on=None, numbers={},
        search=search, models=models,
    )  # fmt: skip


def queries_of(count=24, split="test", origin="human"):
    ids = sorted(DOCUMENTS)
    return [
        (
            f"q{i:02}",
            DOCUMENTS[ids[i % 6]].split()[i % 2] + f" number {i}",
            split,
            origin,
            None,
            {ids[i % 6]: 1},
        )
        for i in range(count)
    ]


def merged_candidate(store, inputs, share=0.5):
    """A model of the base's vectors, and of another digest."""

    def merged(out):
        shutil.copytree(inputs["base"].path, out, dirs_exist_ok=True)
        (out / "artifact.json").unlink()
        write_json(out / "merge.json", {"chosen": share})

    model = artifact(store, "model", f"merged {share}", merged)

    def vectors(out):
        shutil.copytree(inputs["base_vectors"].path, out, dirs_exist_ok=True)
        (out / "artifact.json").unlink()
        info = json.loads((out / "vectors.json").read_text())
        write_json(out / "vectors.json", {**info, "model_digest": model.digest})

    return {"candidate": model, "candidate_vectors": artifact(store, "vectors", f"merged {share}", vectors)}


@pytest.fixture
def inputs(store, tiny_model):
    """corpus, queries, base and its vectors; the candidate is the base again under another name."""

    def vectors(out, digest):
        found = load_encoder(tiny_model).encode_documents(list(corpus_texts))
        (out / "shards").mkdir()
        np.save(out / "shards/00000.npy", found)
        VectorsInfo(
            dimension=32, dtype="float32", count=len(found), normalized=True, model_digest=digest,
            encoding={}, corpus_digest="c", shards=["shards/00000.npy"], rows=[len(found)],
        ).write(out)  # fmt: skip

    corpus = artifact(store, "corpus", "corpus", write_corpus)
    corpus_texts = list(Corpus(corpus.path).texts())
    queries = artifact(store, "queries", "queries", lambda out: write_queries(out, queries_of()))
    base = artifact(store, "model", "base", lambda out: shutil.copytree(tiny_model, out, dirs_exist_ok=True))
    base_vectors = artifact(store, "vectors", "vectors", lambda out: vectors(out, base.digest))
    return {
        "corpus": corpus,
        "queries": queries,
        "base": base,
        "base_vectors": base_vectors,
        "candidate": base,
        "candidate_vectors": base_vectors,
    }


def test_every_system_has_a_row_for_every_query_and_measure(store, inputs):
    built = run_stage(store, EVALUATE, EVALUATION, **inputs)
    rows = list(read_rows(built.ref.file("scores.parquet")))
    systems = {"base", "candidate", "bm25", "hybrid:base", "hybrid:candidate"}
    assert {r["system"] for r in rows} == systems
    assert (
        len(rows) == len({(r["query_id"], r["measure"], r["system"]) for r in rows}) == 24 * 2 * len(systems)
    )
    assert built.ref.manifest.summary["decides"] == "human"
    runs = sorted(p.name for p in built.ref.file("runs").iterdir())
    assert runs == sorted(f"human.{s.replace(':', '-')}.trec" for s in systems)


def test_the_same_model_twice_is_never_promoted(store, inputs):
    evaluation = run_stage(store, EVALUATE, EVALUATION, **inputs).ref
    decision = run_stage(store, DECIDE, Decide(), evaluation=evaluation).ref
    record = json_of(decision, "decision.json")
    assert record["verdict"] == "do-not-fine-tune"
    assert record["numbers"]["comparisons"][0]["difference"]["mean"] == 0


def test_the_same_questions_under_more_ids_prove_no_more(store, inputs):
    again = [(f"again {n} {row[0]}", *row[1:]) for n in range(5) for row in queries_of(6)]
    inputs["queries"] = artifact(
        store, "queries", "often", lambda out: write_queries(out, queries_of(6) + again)
    )
    record = EvaluationRecord.read(run_stage(store, EVALUATE, EVALUATION, **inputs).ref.path)
    assert (record.deciding.queries, record.deciding.answerable) == (36, 6)
    assert {c.difference.n for c in record.comparisons} == {6}


def test_queries_and_documents_that_are_numbered_alike_find_each_other(store, inputs):
    """As in a FAQ; every measure of every system was zero."""
    alike = [(doc_id, *row[1:]) for doc_id, row in zip(sorted(DOCUMENTS), queries_of(6), strict=True)]
    inputs["queries"] = artifact(store, "queries", "alike", lambda out: write_queries(out, alike))
    record = EvaluationRecord.read(run_stage(store, EVALUATE, EVALUATION, **inputs).ref.path)
    assert record.deciding.systems["bm25"]["R@5"].mean > 0.8
    dev = DevSet.read(
        Corpus(inputs["corpus"].path), inputs["queries"].path, split="test", rng=np.random.default_rng(0)
    )
    assert dev.score(load_encoder(inputs["base"].path), "R@5")[0] > 0.5


def test_where_nothing_was_trained_the_verdict_says_so(store, inputs):
    evaluation = run_stage(store, EVALUATE, EVALUATION, **inputs).ref
    untrained, trained = (
        json_of(
            run_stage(store, DECIDE, Decide(), evaluation=evaluation, examples=examples).ref, "decision.json"
        )
        for examples in (None, one_example(store, "a pear"))
    )
    assert untrained["headline"] == "Nothing to train on: the base stays."
    assert untrained["reasons"][0].startswith("No training pair is left")
    assert not trained["headline"].startswith("Nothing")


def test_another_model_with_the_same_figures_has_a_decision_of_its_own(store, inputs):
    for share in (0.5, 0.7):
        given = {**inputs, **merged_candidate(store, inputs, share)}
        evaluation = run_stage(store, EVALUATE, EVALUATION, **given).ref
        decision = Decision.read(run_stage(store, DECIDE, Decide(), evaluation=evaluation).ref.path)
        assert decision.models["candidate"] == given["candidate"].digest
        assert decision.plan_of(given["candidate"].digest) is not None


def test_a_base_that_was_not_made_for_the_documents_language_is_said_so(store, inputs, tmp_path):
    evaluation = run_stage(store, EVALUATE, EVALUATION, **inputs).ref
    source = Provenance(source="all-MiniLM-L6-v2")
    base = artifact(store, "model", "pinned", source.write)

    def advice(name, *texts):
        (tmp_path / name).mkdir()
        for number, text in enumerate(texts):
            (tmp_path / name / f"{number}.txt").write_text(text)
        corpus = run_stage(store, INGEST, Ingest(source={"type": "folder", "path": tmp_path / name})).ref
        given = {"evaluation": evaluation, "corpus": corpus, "base": base}
        return json_of(run_stage(store, DECIDE, Decide(), **given).ref, "decision.json")["advice"]

    french = "Les documents sont rangés dans un dossier, et relus chaque nuit par le programme."
    english = "The documents lie in a folder and are read again by the program every night."
    found = advice("two", french, english)[-1]
    assert found.startswith("Documents are in fr (50%), and all-MiniLM-L6-v2 was made for en.")
    assert "embedlib recommend --language fr," in found
    assert not any("Documents are in" in line for line in advice("one", english))
    names = [f"oak chair no. {number}" for number in range(9)]
    assert not any("Documents are in" in line for line in advice("names", french, *names))


def test_the_evaluation_is_the_same_bytes_when_made_again(store, inputs, tmp_path):
    from embedlib.store import Store

    first = run_stage(store, EVALUATE, EVALUATION, **inputs).ref
    again = run_stage(Store(tmp_path / "other"), EVALUATE, EVALUATION, **inputs).ref
    assert first.digest == again.digest
    assert first.path != again.path


def test_uses_of_a_test_set_are_counted_and_do_not_change_the_decisions_bytes(store, inputs):
    evaluation = run_stage(store, EVALUATE, EVALUATION, **inputs).ref
    first = run_stage(store, DECIDE, Decide(), evaluation=evaluation).ref
    other = run_stage(store, EVALUATE, EVALUATION.model_copy(update={"draws": 300}), **inputs).ref
    second = run_stage(store, DECIDE, Decide(min_effect=0.02), evaluation=other).ref
    assert [r.manifest.summary["test_set_used_before"] for r in (first, second)] == [0, 1]
    assert "used_before" not in second.file("decision.json").read_text()


def one_example(store, query):
    row = {"query_id": "t1", "query": query, "positive_id": "d5", "origin": "label"}
    lists = {"negative_ids": [], "origins": [], "scores": []}
    scores = {"teacher_positive": None, "teacher_scores": None}
    table = [{**row, **lists, **scores}]
    return artifact(
        store, "examples", query, lambda out: write_table(out / "examples.parquet", table, EXAMPLES)
    )


def test_a_planted_leak_stops_the_decision(store, inputs):
    evaluation = run_stage(store, EVALUATE, EVALUATION, **inputs).ref
    examples = one_example(store, "Apple number 0")
    record = json_of(
        run_stage(store, DECIDE, Decide(), evaluation=evaluation, examples=examples).ref, "decision.json"
    )
    assert record["verdict"] == "not-enough-evidence"
    assert "'t1'" in record["reasons"][0]
    assert "'q00'" in record["reasons"][0]


def test_a_split_without_queries_decides_nothing(store, inputs):
    inputs["queries"] = artifact(
        store, "queries", "dev only", lambda out: write_queries(out, queries_of(split="dev"))
    )
    evaluation = run_stage(store, EVALUATE, EVALUATION, **inputs).ref
    trained = {"evaluation": evaluation, "examples": one_example(store, "a pear")}
    record = json_of(run_stage(store, DECIDE, Decide(), **trained).ref, "decision.json")
    assert (record["verdict"], record["decided_on"]) == ("not-enough-evidence", None)
    alone = {k: v for k, v in inputs.items() if not k.startswith("candidate")}
    with pytest.raises(DataError, match="no judged query in the test split"):
        run_stage(store, EVALUATE, EVALUATION.model_copy(update={"baseline": "base"}), **alone)


def test_the_base_alone_becomes_the_first_release_even_without_a_query(store, inputs):
    alone = {k: v for k, v in inputs.items() if not k.startswith("candidate")}
    decisions = []
    for split in ("test", "dev"):
        alone["queries"] = artifact(
            store, "queries", split, lambda out, s=split: write_queries(out, queries_of(split=s))
        )
        evaluation = run_stage(store, EVALUATE, EVALUATION, **alone).ref
        decision = run_stage(store, DECIDE, Decide(), evaluation=evaluation).ref
        assert decision.manifest.summary["test_set"] == ""  # nothing was tested: no use of the test set
        decisions.append(json_of(decision, "decision.json"))
    assert [d["verdict"] for d in decisions] == ["first-release", "first-release"]
    assert [d["search"]["base"]["mode"] for d in decisions] == ["hybrid", "hybrid"]
    assert "nDCG@10 on 24 test" in decisions[0]["reasons"][1]


def test_what_is_live_is_judged_as_its_release_serves_it(store, inputs):
    weight = {"mode": "hybrid", "weight": 2.0}

    def decided(out):
        decision_with({"base": weight}, base=inputs["base"].digest).write(out)

    live = artifact(store, "decision", "live", decided)
    record = json_of(run_stage(store, EVALUATE, EVALUATION, decision=live, **inputs).ref, "comparisons.json")
    assert record["plans"]["base"]["weight"] == 2.0
    assert record["chosen"]["base"]["why"] == "as the live release's decision says"
    pairs = [(c["system"], c["baseline"]) for c in record["comparisons"]]
    assert pairs[0] == ("hybrid:candidate", "hybrid:base")
    of_any = {name: inputs[name] for name in ("corpus", "queries")}
    of_any |= {"words": inputs["base"], "words_vectors": inputs["base_vectors"], "decision": live}
    side_by_side = EVALUATION.model_copy(update={"baseline": "words"})
    record = json_of(run_stage(store, EVALUATE, side_by_side, **of_any).ref, "comparisons.json")
    assert record["plans"]["words"]["weight"] == 2.0


def test_what_the_live_reranker_gains_has_to_be_outdone(store, inputs):
    live = decision_with({"base": {"mode": "dense"}}, base=inputs["base"].digest)

    def reranks(gain):
        numbers = {"first_stage": 0.1, "two_stages": 0.1 + gain}
        return artifact(
            store, "decision", f"{gain}", lambda out: live.model_copy(update={"numbers": numbers}).write(out)
        )

    served = artifact(store, "decision", "live", live.write)
    models = {**inputs, **merged_candidate(store, inputs)}
    evaluation = run_stage(store, EVALUATE, EVALUATION, decision=served, **models).ref
    given = {"evaluation": evaluation, "examples": one_example(store, "a pear")}
    verdicts = [
        Decision.read(run_stage(store, DECIDE, Decide(min_queries=10), **given, **more).ref.path).verdict
        for more in ({}, {"reranking": reranks(0.01)}, {"reranking": reranks(0.8)})
    ]
    assert verdicts == ["promote", "promote", "keep"]


def test_a_plan_is_not_chosen_on_the_queries_that_judge_it(store, inputs):
    inputs["queries"] = artifact(
        store,
        "queries",
        "many dev",
        lambda out: write_queries(out, [*queries_of(60, "dev"), ("t", *queries_of()[1][1:])]),
    )
    chosen = {}
    for split in ("dev", "test"):
        options = EVALUATION.model_copy(update={"split": split})
        record = EvaluationRecord.read(run_stage(store, EVALUATE, options, **inputs).ref.path)
        chosen[split] = record.chosen["candidate"].dev
    assert chosen["test"]
    assert chosen["dev"] == {}


def test_human_and_derived_queries_stay_apart(store, inputs):
    derived = [(f"t{i}", f"title {i}", "test", "derived:title", None, {"d1": 1}) for i in range(3)]
    inputs["queries"] = artifact(
        store, "queries", "both", lambda out: write_queries(out, queries_of() + derived)
    )
    record = json_of(run_stage(store, EVALUATE, EVALUATION, **inputs).ref, "comparisons.json")
    assert {name: d["queries"] for name, d in record["datasets"].items()} == {"human": 24, "derived": 3}
    assert record["decides"] == "human"


def test_any_models_are_compared_with_the_first(store, inputs):
    models = {"corpus": inputs["corpus"], "queries": inputs["queries"]}
    for name in ("one", "two"):
        models |= {name: inputs["base"], f"{name}_vectors": inputs["base_vectors"]}
    record = json_of(run_stage(store, EVALUATE, EVALUATION, **models).ref, "comparisons.json")
    assert {(c["system"], c["baseline"]) for c in record["comparisons"]} >= {("two", "one"), ("bm25", "one")}


def test_vectors_of_another_model_are_refused(store, inputs, tiny_model):
    def changed(out):
        shutil.copytree(tiny_model, out, dirs_exist_ok=True)
        (out / "note.txt").write_text("another model")

    inputs["candidate"] = artifact(store, "model", "other", changed)
    with pytest.raises(MismatchError):
        run_stage(store, EVALUATE, EVALUATION, **inputs)


def test_a_model_without_vectors_and_an_unknown_measure_are_refused(store, inputs):
    del inputs["candidate_vectors"]
    with pytest.raises(DataError, match="'candidate' has no vectors"):
        run_stage(store, EVALUATE, EVALUATION, **inputs)
    with pytest.raises(ConfigError, match="'nope'"):
        run_stage(store, EVALUATE, Evaluate(measures=("nDCG@10", "nope")), **inputs)


def test_a_given_run_stands_beside_the_models(store, inputs, tmp_path):
    path = tmp_path / "mine.trec"
    path.write_text("".join(f"q{i:02} Q0 {sorted(DOCUMENTS)[i % 6]} 1 1.0 mine\n" for i in range(24)))
    config = EVALUATION.model_copy(update={"runs": (path,)})
    record = json_of(run_stage(store, EVALUATE, config, **inputs).ref, "comparisons.json")
    assert record["datasets"]["human"]["systems"]["mine"]["nDCG@10"]["mean"] == 1.0
    path.write_text("q00 Q0 nowhere 1 1.0 mine\n")
    with pytest.raises(DataError, match="'nowhere'"):
        run_stage(store, EVALUATE, config, **inputs)
    path.unlink()
    with pytest.raises(DataError, match="do not exist"):
        run_stage(store, EVALUATE, config, **inputs)


def test_shorter_vectors_and_reranking_are_systems_of_their_own(store, inputs, monkeypatch):
    monkeypatch.setattr(
        "embedlib.stages.evaluate.load_cross_encoder",
        lambda name: (
            lambda pairs: np.array([float(q.split()[0] in t.split()) for q, t in pairs], dtype=np.float32)
        ),
    )
    config = EVALUATION.model_copy(update={"dimensions": (8, 64), "rerank": "all-MiniLM-L6-v2"})
    systems = json_of(run_stage(store, EVALUATE, config, **inputs).ref, "comparisons.json")["datasets"][
        "human"
    ]["systems"]
    assert {"candidate@8", "rerank:candidate", "rerank:bm25"} <= set(systems)
    assert "candidate@64" not in systems
    assert systems["rerank:candidate"]["nDCG@10"]["mean"] == 1.0


def test_examples_show_what_a_person_needs(store, inputs):
    examples = json_of(run_stage(store, EVALUATE, EVALUATION, **inputs).ref, "examples.json")
    assert examples["differences"] == [0.0] * 24
    assert examples["gained"] == examples["lost"] == []
    assert json.loads(json.dumps(examples)) == examples


def similarity(tmp_path, margin=0.01):
    path = tmp_path / "pairs.tsv"
    words = [text.split()[0] for text in DOCUMENTS.values()]
    lines = [
        f"{a} {i}\t{b} pie\t{i % 5}" for i, (a, b) in enumerate(zip(words * 4, words[::-1] * 4, strict=True))
    ]
    path.write_text("sentence1\tsentence2\tscore\n" + "\n".join(lines) + "\n")
    return SimilarityGuard(file=path, margin=margin)


def test_guards_stand_in_the_evaluation_and_their_values_are_kept(store, inputs, tmp_path):
    config = EVALUATION.model_copy(update={"guards": (similarity(tmp_path),)})
    ref = run_stage(store, EVALUATE, config, **inputs).ref
    (guard,) = json_of(ref, "guards.json")
    assert (guard["measure"], guard["passed"], guard["difference"]["mean"]) == ("Spearman", True, 0)
    assert len(list(store.artifacts("guard"))) == 1  # one model under two names
    general = json_of(ref, "comparisons.json")["general"]
    assert {(r["system"], r["measure"]) for r in general} == {
        (s, m) for s in ("base", "candidate") for m in ("Spearman", "Pearson")
    }
    similarity(tmp_path).file.unlink()
    with pytest.raises(DataError, match="do not exist"):
        run_stage(store, EVALUATE, config, **inputs)


def test_the_baseline_is_part_of_what_an_evaluation_is(store, inputs):
    models = {"corpus": inputs["corpus"], "queries": inputs["queries"]}
    for name in ("one", "two"):
        models |= {name: inputs["base"], f"{name}_vectors": inputs["base_vectors"]}
    for baseline, other in (("one", "two"), ("two", "one")):
        config = EVALUATION.model_copy(update={"baseline": baseline})
        record = json_of(run_stage(store, EVALUATE, config, **models).ref, "comparisons.json")
        assert {c["baseline"] for c in record["comparisons"]} == {baseline}
        assert other in {c["system"] for c in record["comparisons"]}


def test_a_model_trained_for_shorter_vectors_is_evaluated_at_them(store, inputs, tiny_model):
    def make(work):
        shutil.copytree(tiny_model, work.out, dirs_exist_ok=True)
        return {}

    trained = Recipe(
        stage="train", kind="model", code="", config={"matryoshka": [8]}, inputs={"m": inputs["base"]}
    )
    merged = Recipe(stage="merge", kind="model", code="", inputs={"tuned": store.build(trained, make).ref})
    given = {**inputs, "candidate": store.build(merged, make).ref}
    assert given["candidate"].digest == inputs["base"].digest  # the vectors are this model's too
    record = json_of(run_stage(store, EVALUATE, EVALUATION, **given).ref, "comparisons.json")
    assert {"base@8", "candidate@8"} <= set(record["datasets"]["human"]["systems"])
    plain = run_stage(store, EVALUATE, EVALUATION.model_copy(update={"draws": 300}), **inputs).ref
    assert "base@8" not in json_of(plain, "comparisons.json")["datasets"]["human"]["systems"]


def test_a_merged_candidate_is_known_as_one(store, inputs):
    assert (
        json_of(run_stage(store, EVALUATE, EVALUATION, **inputs).ref, "comparisons.json")["merged"] is False
    )

    given = {**inputs, **merged_candidate(store, inputs)}
    assert json_of(run_stage(store, EVALUATE, EVALUATION, **given).ref, "comparisons.json")["merged"] is True


def test_what_is_served_is_evaluated_though_fusion_is_switched_off(store, inputs):
    def decided(out):
        decision_with({"base": {"mode": "hybrid"}}, base=inputs["base"].digest).write(out)

    live = artifact(store, "decision", "live", decided)
    off = EVALUATION.model_copy(update={"bm25": False, "hybrid": False})
    evaluation = run_stage(store, EVALUATE, off, decision=live, **inputs).ref
    record = json_of(run_stage(store, DECIDE, Decide(), evaluation=evaluation).ref, "decision.json")
    assert record["numbers"]["served"]["base"] == "hybrid:base"
    assert record["verdict"] != "promote"


def test_every_way_to_search_has_its_costs(store, inputs, monkeypatch, tiny_model):
    def overlap(pairs):
        return np.array([len({*q.lower().split()} & {*t.lower().split()}) for q, t in pairs], np.float32)

    for module in ("evaluate", "choice"):
        monkeypatch.setattr(f"embedlib.stages.{module}.load_cross_encoder", lambda name: overlap)
    options = EVALUATION.model_copy(update={"rerank": str(tiny_model), "rerank_depth": 4, "dimensions": (8,)})
    evaluation = run_stage(store, EVALUATE, options, **inputs).ref
    names = {"teacher": inputs["base"], "student": inputs["base"]}
    vectors = {f"{name}_vectors": inputs["base_vectors"] for name in names}
    data = {name: inputs[name] for name in ("corpus", "queries")}
    student = run_stage(store, EVALUATE, EVALUATION, **data, **names, **vectors).ref
    choice = run_stage(store, CHOICE, options, evaluation=evaluation, student=student).ref
    rows = {row.system: row for row in Choice.read(choice.path).alternatives}
    first = {"base", "candidate", "bm25", "hybrid:base", "hybrid:candidate"}
    assert set(rows) == first | {f"rerank:{s}" for s in first} | {"student", "hybrid:student"}
    assert all(row.p50_ms > 0 for row in rows.values())
    recorded = EvaluationRecord.read(evaluation.path).datasets["human"].systems
    assert rows["hybrid:base"].quality == recorded["hybrid:base"]["nDCG@10"]
    assert rows["bm25"].memory_mb < rows["base"].memory_mb == rows["student"].memory_mb
    for more, less in (("hybrid:base", "base"), ("rerank:base", "base"), ("rerank:bm25", "bm25")):
        assert rows[more].memory_mb > rows[less].memory_mb
    both = rows["base"].reencode_s + rows["bm25"].reencode_s
    assert rows["hybrid:base"].reencode_s == pytest.approx(both)
    page = run_stage(store, REPORT, Report(), evaluation=evaluation, choice=choice).ref.file("report.html")
    assert "Which is best for me" in page.read_text(encoding="utf-8")


def test_the_release_s_own_reranker_stands_among_them_as_it_is_served(store, inputs, monkeypatch):
    read = []

    def knows(pairs):
        read.append(len(pairs))
        return np.array([float(q.split()[0] in t.split()) for q, t in pairs], np.float32)

    monkeypatch.setattr("embedlib.stages.choice.load_cross_encoder", lambda folder: knows)
    evaluation = run_stage(store, EVALUATE, EVALUATION, **inputs).ref
    reranker = artifact(
        store, "reranker", "reranker", lambda out: (out / "weights").write_bytes(b"0" * 2**20)
    )

    def rows(model, weight):
        decided = decision_with({}, model=model).model_copy(update={"rerank": {"depth": 3, "weight": weight}})
        ref = artifact(store, "decision", f"reranking {model} {weight}", decided.write)
        with_it = {"evaluation": evaluation, "reranker": reranker, "reranking": ref}
        choice = run_stage(store, CHOICE, EVALUATION, **with_it).ref
        page = run_stage(store, REPORT, Report(), evaluation=evaluation, choice=choice).ref
        shown = page.file("report.html").read_text(encoding="utf-8") + page.file("summary.md").read_text()
        return {row.system: row for row in Choice.read(choice.path).alternatives}, shown

    served = inputs["base"].digest
    strong, page = rows(served, 1000.0)
    both, first = strong["two-stage:hybrid:base"], strong["hybrid:base"]
    assert set(read) == {3, 24 * 3}  # the three first hits of a query, alone and of all the queries
    assert both.quality.mean > first.quality.mean
    assert both.quality.n == first.quality.n == 24
    assert both.memory_mb == pytest.approx(first.memory_mb + 1, abs=0.01)
    assert both.reencode_s == first.reencode_s
    assert page.count("two-stage, as it is served: first 3 re-ranked, weight 1000") == 2
    weak, _ = rows(served, 1e-6)
    assert weak["two-stage:hybrid:base"].quality.mean == first.quality.mean
    other, page = rows("another model", 1000.0)
    assert set(other) == {row for row in strong if not row.startswith("two-stage")}
    assert "re-ranked" not in page


def test_without_a_query_that_decides_there_is_nothing_to_choose_by(store, inputs):
    dev = artifact(store, "queries", "dev", lambda out: write_queries(out, queries_of(split="dev")))
    evaluation = run_stage(store, EVALUATE, EVALUATION, **{**inputs, "queries": dev}).ref
    choice = run_stage(store, CHOICE, EVALUATION, evaluation=evaluation).ref
    assert Choice.read(choice.path).alternatives == []

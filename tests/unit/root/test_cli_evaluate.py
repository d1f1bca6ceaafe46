"""``embedlib evaluate`` through the real flow: what is shown side by side, and its exit codes."""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from local_server import LocalServer
from published import save_bag_model, write_beir

from embedlib.cli import main

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """Two collections, a similarity set, a run of the second collection, two models, a workspace."""
    folder = tmp_path_factory.mktemp("evaluate")
    save_bag_model(folder / "words", tiny_model)
    (folder / "order").symlink_to(tiny_model)
    write_beir(folder / "first", documents=40)
    write_beir(folder / "second", documents=40, seed=1)
    relevant = (folder / "second" / "qrels" / "test.tsv").read_text().splitlines()[1:]
    hits = [f"{q} Q0 {d} 1 1.0 theirs" for q, d, _ in (line.split("\t") for line in relevant)]
    (folder / "theirs.trec").write_text("\n".join(hits) + "\n")
    words = [line.split() for line in ("river stone window garden", "engine market letter bridge")]
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(30):
        first, second = rng.choice(words[0] + words[1], 3), rng.choice(words[0] + words[1], 3)
        rows.append(f"{' '.join(first)}\t{' '.join(second)}\t{len(set(first) & set(second))}")
    (folder / "sts").mkdir()
    (folder / "sts" / "test.tsv").write_text("sentence1\tsentence2\tscore\n" + "\n".join(rows) + "\n")
    return folder


@pytest.fixture
def evaluate(material: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    """Give the command; returns its exit code, output and messages. Models and artifacts are shared."""

    def give(*options: str, models: tuple[str, ...] = ("words", "order")) -> tuple[int, str, str]:
        chosen = [part for model in models for part in ("--model", str(material / model))]
        fixed = ["--workspace", str(material / "ws"), "--set", "evaluate.draws=200"]
        monkeypatch.chdir(material)
        monkeypatch.setenv("COLUMNS", "250")
        monkeypatch.setattr(sys, "argv", ["embedlib", "evaluate", *chosen, *fixed, *options])
        with pytest.raises(SystemExit) as caught:
            main()
        read = capsys.readouterr()
        return int(caught.value.code or 0), read.out, read.err

    return give


def test_models_runs_and_data_stand_side_by_side(evaluate, material):
    data = ("--data", "first", "--data", "second", "--data", "sts/test.tsv", "--run", "second=theirs.trec")
    code, out, _ = evaluate(*data, "--json", "--csv", "scores.csv")
    assert code == 0
    found = json.loads(out[out.index("{\n") :])
    systems = {n: set(c["datasets"]["human"]["systems"]) for n, c in found["collections"].items()}
    assert systems["first"] == {"words", "order", "bm25", "hybrid:words", "hybrid:order"}
    assert systems["second"] == systems["first"] | {"theirs"}
    second = found["collections"]["second"]
    assert second["datasets"]["human"]["systems"]["theirs"]["nDCG@10"]["mean"] == 1.0
    assert {c["baseline"] for c in second["comparisons"]} >= {"words"}
    assert {(r["set"], r["system"], r["measure"]) for r in found["general"]} == {
        ("sts/test", s, m) for s in ("words", "order") for m in ("Spearman", "Pearson")
    }
    with (material / "scores.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert {(r["collection"], r["system"]) for r in rows} >= {("first", "bm25"), ("second", "theirs")}
    assert sum(r["measure"] == "cosine" and r["dataset"] == "sts/test" for r in rows) == 2 * 30
    code, out, _ = evaluate(*data)
    assert code == 0
    timed = {row["system"] for row in found["choices"]["second"]["alternatives"]}
    assert timed == systems["first"]  # a given run has no costs
    page = Path(found["reports"]["second"]).read_text(encoding="utf-8")
    assert "Which is best for me" in page
    assert "embedlib evaluate --model" in page
    for shown in ("first human: 10 queries", "theirs − words", "Spearman", "which is best for me", "p50 ms"):
        assert shown in out


def test_a_model_behind_an_api_stands_beside_local_ones_and_no_document_is_sent_twice(evaluate):
    with LocalServer() as server:
        for _ in range(2):
            given = ("--data", "first", "--model", f"{server.url}/v1#toy", "--json")
            code, out, err = evaluate(*given, models=("words",))
            assert code == 0, err
        sent = server.texts
    found = json.loads(out[out.index("{\n") :])
    systems = found["collections"]["first"]["datasets"]["human"]["systems"]
    costs = {row["system"]: row for row in found["choices"]["first"]["alternatives"]}
    assert costs["v1#toy"]["p50_ms"] > 0
    assert costs["v1#toy"]["reencode_s"] is None
    assert costs["words"]["reencode_s"] > 0
    assert set(systems) == {"words", "v1#toy", "bm25", "hybrid:words", "hybrid:v1#toy"}
    assert systems["v1#toy"]["R@100"]["mean"] == 1.0  # of 40 documents
    queries = Counter(sent) - Counter(set(sent))
    assert len(set(sent)) == 40 + 10
    assert len(queries) == 10  # asked again for their latency, alone and fused, in the first run only
    assert sum(queries.values()) == 2 * (10 + 1)


def test_another_first_model_is_another_baseline(evaluate):
    for models in (("words", "order"), ("order", "words")):
        _, out, _ = evaluate("--data", "first", models=models)
        assert f"{models[1]} − {models[0]}" in out


def test_a_guard_that_fails_and_a_limit_not_met_exit_with_3(evaluate):
    guard = "evaluate.guards=[{type: similarity, file: sts/test.tsv, margin: %s}]"
    code, out, err = evaluate("--set", guard % 0.0)
    assert code == 3
    assert "guard sts/test, order fails: Spearman" in err
    assert "fails" in out
    assert evaluate("--set", guard % 1.0)[0] == 0
    code, _, err = evaluate("--data", "sts", "--fail-under", "Spearman=1.0", "--fail-under", "Pearson=-1")
    assert code == 3
    assert "Spearman on sts/test is" in err
    assert "Pearson on" not in err


def test_mistakes_are_told_with_code_2(evaluate, monkeypatch):
    for options, told in (
        (("--data", "sts", "--fail-under", "nDCG@10=0.3"), "nDCG@10 was not measured"),
        (("--data", "sts", "--fail-under", "Spearman"), "a limit that is no number"),
        (("--data", "first", "--run", "second=theirs.trec"), "one of first"),
        (("--data", "first", "--fail-under", "nDCG@10=nan"), "a limit that is no number"),
        (("--data", "first", "--fail-under", "nDCG@10=inf"), "a limit that is no number"),
    ):
        code, _, err = evaluate(*options)
        assert code == 2
        assert told in err
    monkeypatch.setitem(sys.modules, "mteb", None)
    code, _, err = evaluate("--mteb", "SciFact,STSBenchmark")
    assert code == 2
    assert "'SciFact' needs the package mteb" in err
    assert "pip install 'embedlib[mteb]'" in err


@pytest.mark.parametrize("target", [".", "sts", "nowhere/scores.csv"])
def test_a_table_that_cannot_be_written_is_refused_before_the_evaluation(evaluate, monkeypatch, target):
    monkeypatch.setattr("embedlib.cli.measure.start_flow", pytest.fail)
    code, _, err = evaluate("--data", "first", "--csv", target)
    assert code == 2
    assert "the table cannot be written there" in err

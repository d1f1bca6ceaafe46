"""The user's mistakes: one clear message with the remedy, exit code 2, and a workspace that still works."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from embedlib.cli import main
from embedlib.store import Store

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def documents(count: int) -> list[dict[str, str]]:
    return [
        {"_id": f"d{i}", "title": f"title {i}", "text": f"the text of document number {i}"}
        for i in range(count)
    ]


def jsonl(path: Path, rows: list[object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n")


def beir(folder: Path, queries: list[object], qrels: list[str]) -> None:
    jsonl(folder / "corpus.jsonl", documents(20))
    jsonl(folder / "queries.jsonl", queries)
    (folder / "qrels").mkdir()
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "\n".join(qrels) + "\n")


def missing(folder: Path) -> list[str]:
    return ["--data", str(folder / "nowhere")]


def empty_corpus(folder: Path) -> list[str]:
    (folder / "docs.jsonl").write_text("")
    return ["--data", str(folder / "docs.jsonl")]


def duplicate_ids(folder: Path) -> list[str]:
    jsonl(folder / "docs.jsonl", [*documents(5), {"_id": "d3", "text": "another text under a taken id"}])
    return ["--data", str(folder / "docs.jsonl")]


def bad_json(folder: Path) -> list[str]:
    jsonl(folder / "docs.jsonl", [*documents(2), '{"_id": "x", "text": '])
    return ["--data", str(folder / "docs.jsonl")]


def unknown_document_in_qrels(folder: Path) -> list[str]:
    beir(folder / "b", [{"_id": "q1", "text": "what is number 3"}], ["q1\td3\t1", "q1\td99\t1"])
    return ["--data", str(folder / "b")]


def query_without_text(folder: Path) -> list[str]:
    beir(folder / "b", [{"_id": "q1", "text": ""}], ["q1\td3\t1"])
    return ["--data", str(folder / "b")]


def one_document(folder: Path) -> list[str]:
    jsonl(folder / "docs.jsonl", documents(1))
    return ["--data", str(folder / "docs.jsonl")]


def unknown_option(folder: Path) -> list[str]:
    (folder / "c.yaml").write_text("train: {epoch: 1}\n")
    return ["--config", str(folder / "c.yaml")]


def unknown_model(folder: Path) -> list[str]:
    jsonl(folder / "docs.jsonl", documents(30))
    return ["--data", str(folder / "docs.jsonl"), "--set", "model.name=no/such-model"]


def misspelt_measure(folder: Path) -> list[str]:
    jsonl(folder / "docs.jsonl", documents(30))
    measures = ["--set", "evaluate.measures=[NDGC@10]", "--set", "evaluate.primary=NDGC@10"]
    return ["--data", str(folder / "docs.jsonl"), *measures]


CASES: list[tuple[Callable[[Path], list[str]], str]] = [
    (missing, "ingest.source.path: there is no such file or folder"),
    (empty_corpus, "no document with text"),
    (duplicate_ids, "duplicate id 'd3'"),
    (bad_json, "docs.jsonl:3"),
    (unknown_document_in_qrels, "no document 'd99'"),
    (query_without_text, "query 'q1' has no text"),
    (one_document, "found: 1 document"),
    (unknown_option, "did you mean 'epochs'"),
    (unknown_model, "the model 'no/such-model'"),
    (misspelt_measure, "evaluate.measures: measure 'NDGC@10'"),
]


@pytest.mark.parametrize(("make", "named"), CASES, ids=lambda x: getattr(x, "__name__", None))
def test_mistakes_end_with_one_message_and_code_2(
    make: Callable[[Path], list[str]], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    workspace = tmp_path / "ws"
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setattr(sys, "argv", ["embedlib", "run", "--workspace", str(workspace), *make(tmp_path)])
    with pytest.raises(SystemExit) as caught:
        main()
    message = capsys.readouterr().err
    # Prefect's console still writes to the stream of an earlier test, which pytest has closed
    message = message[message.rindex("error: ") :].partition("--- Logging error ---")[0]
    assert caught.value.code == 2, message
    assert named in message
    assert "Traceback" not in message
    store = Store(workspace)
    assert store.sweep() == [], "nothing half-written stays"
    for ref in store.artifacts():
        ref.require_intact()

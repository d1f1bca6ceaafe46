"""Identifiers with control characters: refused in documents and labels alike, harmless in measures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from embedlib.contracts import Corpus, read_judgements
from embedlib.corpus.clean import id_fault
from embedlib.evaluation.measures import score_run
from embedlib.evaluation.runs import read_run

BAD = ["a\x00b", "a\x1b]0;t\x07", "a\nb", "a\tb", "a\x85b", "a\u2028b", "a\u202eb", "a\u200bb"]
TEXTS = [
    {
        "_id": f"d{i}",
        "title": f"The {noun} page",
        "text": f"A {noun} is what this text of ten words speaks of.",
    }
    for i, noun in enumerate(("fox", "elk", "owl", "bee"))
]


@pytest.mark.parametrize("identifier", BAD)
def test_a_document_with_such_an_id_is_refused(identifier: str, jsonl, ingest, rows) -> None:
    path = jsonl({"_id": "a", "text": "first"}, {"_id": identifier, "text": "second"}, name="p.jsonl")
    corpus = ingest(path, on_bad_row="skip")
    assert Corpus(corpus.path).ids == ["a"]
    (rejected,) = rows(corpus, "rejected.jsonl")
    assert "holds the control character" in rejected["reason"]


def test_a_group_with_such_a_name_is_refused(jsonl, ingest, rows) -> None:
    path = jsonl({"_id": "a", "text": "first", "g": "x\x00"}, {"_id": "b", "text": "second", "g": "y"}, name="p.jsonl")  # fmt: skip
    corpus = ingest({"type": "jsonl", "path": path, "fields": {"group_id": "g"}}, on_bad_row="skip")
    assert Corpus(corpus.path).ids == ["b"]


def test_a_file_with_such_a_name_is_refused(tmp_path: Path, ingest, rows) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "good.txt").write_text("good")
    (folder / "bad\n.txt").write_text("bad")
    corpus = ingest(folder, on_bad_row="skip")
    assert Corpus(corpus.path).ids == ["good.txt"]
    assert len(rows(corpus, "rejected.jsonl")) == 1


@pytest.mark.parametrize("identifier", ["a", "chapter 1/ä.md", "漢字", "x:y#0001", "👩\u200d🚀"])
def test_other_ids_stay(identifier: str) -> None:
    assert id_fault(identifier) == ""


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("queries.jsonl", json.dumps({"_id": "q\x00x", "text": "two"})),
        ("qrels.tsv", "q1\td1\x00x\t1"),
        ("qrels.tsv", "q\x00x\td1\t1"),
    ],
)
def test_labels_with_such_ids_are_refused(
    file: str, text: str, tmp_path: Path, jsonl, ingest, split, rows
) -> None:
    (tmp_path / "queries.jsonl").write_text(json.dumps({"_id": "q1", "text": "one"}) + "\n")
    (tmp_path / "qrels.tsv").write_text("q1\td1\t1\n")
    with (tmp_path / file).open("a") as stream:
        stream.write(text + "\n")
    labels = {"type": "files", "queries": tmp_path / "queries.jsonl", "test": tmp_path / "qrels.tsv"}
    ref = split(ingest(jsonl(*TEXTS, name="p.jsonl")), labels, on_bad_row="skip")
    assert read_judgements(ref.path, "test").qrels == {"q1": {"d1": 1}}
    (rejected,) = rows(ref, "rejected.jsonl")
    assert "holds the control character U+0000" in rejected["reason"]


def test_clicks_on_such_ids_are_refused(tmp_path: Path, jsonl, ingest, split, rows) -> None:
    clicks = [{"query": "one", "doc_id": "d1"}, {"query": "two", "doc_id": "d1\x00"}]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, clicks)))
    ref = split(ingest(jsonl(*TEXTS, name="p.jsonl")), {"type": "log", "path": tmp_path / "log.jsonl"}, on_bad_row="skip")  # fmt: skip
    assert read_judgements(ref.path, "test").queries == {"log:one": "one"}


@pytest.mark.parametrize("measure", ["nDCG@10", "RR@10", "AP", "P(rel=1)@4"])
def test_measures_take_ids_as_they_come(measure: str) -> None:
    names = {"q": "q\x00x", "p": "q\x00y", "r": "", "a": "a", "b": "a\x00b", "c": "", "d": "d e"}
    qrels = {"q": {"b": 1, "c": 2}, "p": {"a": 1}, "r": {"d": 1, "a": 0}}
    run = {q: {"a": 3.0, "b": 2.0, "c": 1.0, "d": 0.5} for q in qrels}

    def renamed(table: dict) -> dict:
        return {names[q]: {names[d]: value for d, value in row.items()} for q, row in table.items()}

    plain, odd = score_run(run, qrels, [measure]), score_run(renamed(run), renamed(qrels), [measure])
    assert odd[measure] == {names[q]: value for q, value in plain[measure].items()}
    assert min(plain[measure].values()) > 0


def test_a_run_file_that_is_not_utf8_is_a_typed_error(tmp_path: Path) -> None:
    from embedlib.errors import DataError

    (tmp_path / "run.trec").write_bytes(b"q Q0 d\xff 1 2.0 x\n")
    with pytest.raises(DataError, match="not UTF-8"):
        read_run(tmp_path / "run.trec")

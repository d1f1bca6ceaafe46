"""Query logs, fresh labels and the corpus delta."""

from __future__ import annotations

import json

import pytest

from embedlib.errors import DataError
from embedlib.monitoring import logs
from embedlib.monitoring.logs import Label, read_labels, read_query_log
from embedlib.monitoring.signals import corpus_signal


def test_the_last_distinct_queries_oldest_first(tmp_path):
    log = tmp_path / "queries.log"
    log.write_text("a\nb\n\na\n c \nd\n")
    assert read_query_log(log, 3) == ["a", "c", "d"]
    assert read_query_log(log, 100) == ["b", "a", "c", "d"]
    assert read_query_log(log, 0) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("q.jsonl", '{"query": "first one"}\n{"text": "second, one", "at": 3}\n'),
        ("q.csv", 'id,query\n1,first one\n2,"second, one"\n'),
        ("q.tsv", "query\tuser\nfirst one\tx\nsecond, one\ty\n"),
    ],
)
def test_every_format_reads_the_same(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert read_query_log(tmp_path / name, 10) == ["first one", "second, one"]


def test_a_folder_of_logs_is_read_from_its_latest_files(tmp_path, monkeypatch):
    for day, queries in (("2026-03-01", "ab"), ("2026-03-02", "bc"), ("2026-03-03", "d")):
        lines = "".join(json.dumps({"query": q}) + "\n" for q in queries)
        (tmp_path / f"{day}.jsonl").write_text('{"query": "cut off by a po\n' + lines)
    (tmp_path / "notes.txt").write_text("not a log")
    assert read_query_log(tmp_path, 10) == ["a", "b", "c", "d"]
    assert read_query_log(tmp_path, 2) == ["c", "d"]
    monkeypatch.setattr(logs, "TAIL_BYTES", 20)
    assert read_query_log(tmp_path, 10) == ["d"]


@pytest.mark.parametrize("suffix", [".log", ".csv", ".jsonl"])
def test_of_a_huge_log_only_whole_lines_of_its_tail_are_read(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(logs, "TAIL_BYTES", 500)
    lines = [f"query number {i}" for i in range(1000)]
    if suffix == ".jsonl":
        lines = [json.dumps({"query": line}) for line in lines]
    header = ["query"] if suffix == ".csv" else []
    (tmp_path / f"q{suffix}").write_text("\n".join(header + lines) + "\n")
    found = read_query_log(tmp_path / f"q{suffix}", 1000)
    assert found[-1] == "query number 999"
    assert 10 < len(found) < 40
    assert all(q.startswith("query number ") for q in found)


def test_a_line_that_is_being_written_is_left_for_the_next_time(tmp_path):
    log = tmp_path / "q.jsonl"
    log.write_text('{"query": "whole"}\n{"query": "ha')
    assert read_query_log(log, 10) == ["whole"]
    log.write_text('{"query": "ha\n{"query": "whole"}\n')
    with pytest.raises(DataError, match="line 1"):
        read_query_log(log, 10)


def test_labels_have_relevance_one_unless_they_say(tmp_path):
    path = tmp_path / "labels.jsonl"
    path.write_text('{"query": "q", "doc_id": "d1"}\n{"query": "q", "doc_id": "d2", "relevance": 0}\n')
    assert read_labels(path, 10) == [Label("q", "d1", 1), Label("q", "d2", 0)]
    assert read_labels(path, 1) == [Label("q", "d2", 0)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("l.csv", "\ufeffquery,doc_id,relevance\r\na b,d,1\r\n"),
        ("l.csv", "query;doc_id;relevance\na b;d;1.0\n"),
        ("l.csv", 'query,doc_id\n"a b",d\n'),
        ("l.jsonl", '\ufeff{"query": "a b", "doc_id": "d"}\n'),
    ],
)
def test_labels_as_spreadsheets_save_them(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    assert read_labels(tmp_path / name, 10) == [Label("a b", "d", 1)]


def test_a_line_ends_where_a_file_says_so(tmp_path):
    (tmp_path / "q.jsonl").write_text('{"query": "a\u2028b"}\n{"query": "c"}\n', encoding="utf-8")
    assert read_query_log(tmp_path / "q.jsonl", 10) == ["a\u2028b", "c"]
    (tmp_path / "q.csv").write_text('query\n"a\nb"\n')
    assert read_query_log(tmp_path / "q.csv", 10) == ["a\nb"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("l.csv", "search;document\na;d,e\n", "without query or text"),
        ("l.csv", "search,document\na,d,e\n", "without query or text"),
        ("l.csv", "query,doc_id,relevance\nq,d,²\n", "not a whole number"),
        ("l.csv", "query,doc_id,relevance\nq,d,inf\n", "not a whole number"),
        ("l.jsonl", "[" * 100_000 + '\n{"query": "q"}\n', "not a JSON line"),
        ("l.jsonl", '{"query": "q"}\n', "without doc_id"),
        ("l.jsonl", "[1]\n", "not a JSON object"),
        ("l.csv", "query,doc_id,relevance\nq,d,high\n", "not a whole number"),
        ("l.txt", "q d\n", "without doc_id"),
    ],
)
def test_bad_labels_are_refused_with_their_place(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read_labels(tmp_path / name, 10)
    assert name in caught.value.where


def test_a_missing_log_is_the_users_mistake(tmp_path):
    with pytest.raises(DataError, match="missing"):
        read_query_log(tmp_path / "none.log", 10)


def test_delta_by_id_and_content():
    before = {"a": "1", "b": "1", "c": "1", "d": "1"}
    signal = corpus_signal(before, {"a": "1", "b": "2", "e": "1", "f": "1"}, 0.5)
    examples = {"added": ["e", "f"], "changed": ["b"], "removed": ["c", "d"]}
    counts = {"added": 2, "changed": 1, "removed": 2, "unchanged": 1}
    assert signal.evidence == {**counts, "examples": examples}
    assert signal.value == pytest.approx(5 / 4)
    assert signal.fired
    assert corpus_signal(before, before, 0.5).value == 0

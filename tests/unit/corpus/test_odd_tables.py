"""Tables as they come from elsewhere: line ends, delimiters, encodings, columns and counts."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from embedlib.config.data import CsvSource
from embedlib.contracts import Corpus, read_judgements
from embedlib.corpus.labels import read_qrels
from embedlib.corpus.records import FieldNames
from embedlib.corpus.tabular import csv_rows, read_parquet
from embedlib.corpus.textfiles import check_encoding, read_lines
from embedlib.errors import DataError

CSV = "id,text\na,first text\nb,second text\n"


def _ids(ingest, path: Path, **options: str) -> list[str]:
    return Corpus(ingest({"type": "csv", "path": path, **options}).path).ids


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "cp037", "utf-7", "cp1252"])
def test_lines_end_in_any_way_in_any_encoding(end: str, encoding: str, tmp_path: Path, ingest) -> None:
    path = tmp_path / "d.csv"
    path.write_bytes(CSV.replace("\n", end).encode(encoding))
    assert _ids(ingest, path, encoding=encoding) == ["a", "b"]


@pytest.mark.parametrize("name", ["rot13", "hex", "base64", "zip", "idna", "punycode", "unicode_escape", "undefined", "klingon", ""])  # fmt: skip
def test_what_encodes_no_text_is_no_encoding(name: str) -> None:
    with pytest.raises(DataError, match="unknown encoding"):
        check_encoding(name)


def test_utf16_without_a_mark_is_a_rejected_line(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_bytes(CSV.encode("utf-16-le"))
    lines = list(read_lines(tmp_path / "d.csv", encoding="utf-16", max_bytes=1000))
    (reason,) = [line.reason for _, line in lines]
    assert reason.startswith("not utf-16: ")  # Python says why, each version in its own words
    assert reason.endswith("set ingest.source.encoding)")


@pytest.mark.parametrize("delimiter", [";;", "\\t", "\n", '"'])
def test_a_delimiter_is_one_character(delimiter: str, tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text(CSV)
    with pytest.raises(ValidationError):
        CsvSource(path=tmp_path / "d.csv", delimiter=delimiter)
    if len(delimiter) > 1:
        with pytest.raises(DataError, match="the header cannot be read"):
            list(csv_rows(tmp_path / "d.csv", max_bytes=1000, delimiter=delimiter))


def test_every_line_that_an_open_quote_swallows_is_listed(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text('id,text\na,first\nb,"never closed\nc,third\nd,fourth\n')
    (_, first), *others = csv_rows(tmp_path / "d.csv", max_bytes=1000)
    assert first == {"id": "a", "text": "first"}
    assert [row.where for _, row in others] == ["d.csv:3", "d.csv:4", "d.csv:5"]
    assert others[-1][1].reason.endswith("(of a row that begins in line 3)")


def test_a_parquet_column_that_stands_twice_is_named(tmp_path: Path) -> None:
    columns = [pa.array(["a"]), pa.array(["x"]), pa.array(["y"]), pa.array([1]), pa.array([2])]
    pq.write_table(pa.table(columns, names=["id", "text", "text", "n", "n"]), tmp_path / "twice.parquet")
    with pytest.raises(DataError, match="two columns are called 'text'"):
        list(read_parquet(tmp_path / "twice.parquet", FieldNames()))
    pq.write_table(
        pa.table(columns[:2] + columns[3:], names=["id", "text", "n", "n"]), tmp_path / "other.parquet"
    )
    (item,) = read_parquet(tmp_path / "other.parquet", FieldNames())
    assert item[:3] == ("a", "", "x")


@pytest.mark.parametrize("count", ["Infinity", "-Infinity", "NaN", "1e308", "-1", '"many"', "1e13", "[1]"])
def test_a_count_that_is_none_is_rejected(count: str, tmp_path: Path, jsonl, ingest, split, rows) -> None:
    text = "A {} is what this text of ten or more words speaks of, from its start to its end."
    documents = [
        {"_id": n, "title": f"All of {n}", "text": text.format(n)} for n in ("fox", "elk", "owl", "bee")
    ]
    log = [
        '{"query": "one", "doc_id": "fox", "count": 3}',
        f'{{"query": "two", "doc_id": "elk", "count": {count}}}',
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(log))
    corpus = ingest(jsonl(*documents, name="p.jsonl"))
    ref = split(corpus, {"type": "log", "path": tmp_path / "log.jsonl"}, on_bad_row="skip")
    assert read_judgements(ref.path, "test").qrels == {"log:one": {"fox": 1}}
    assert len(rows(ref, "rejected.jsonl")) == 1


def test_a_judgement_with_a_return_in_it_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_bytes(b"q1,d1,1\nq2,d\r2,1\n")
    rejected = []
    assert len(read_qrels(tmp_path / "r.csv", rejected.append)) == 1
    assert len(rejected) == 1


def test_an_odd_json_line_stays_one_line(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_bytes(json.dumps({"text": "a\rb"}).encode() + b"\r\n{}\r\n")
    assert [n for n, _ in read_lines(tmp_path / "d.jsonl", encoding="utf-8", max_bytes=100)] == [1, 2]

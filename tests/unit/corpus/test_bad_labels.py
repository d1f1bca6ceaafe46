"""Bad labels, a table: each is a typed error, or a counted and listed skip, as ``on_bad_row`` says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from records import json_of

from embedlib.config.data import AutoLabels, LogLabels, NoLabels
from embedlib.contracts import read_judgements
from embedlib.corpus.labels import read_log, read_qrels, read_queries
from embedlib.errors import DataError
from embedlib.stages.split import read_labels, without_judgements

QUERIES = '{"_id": "q1", "text": "first question"}\n{"_id": "q2", "text": "second question"}\n'
HEADER = "query-id\tcorpus-id\tscore\n"
QRELS = HEADER + "q1\td1\t1\nq2\td2\t1\n"


class Case(NamedTuple):
    """Queries and judgements, the words of the error, where it points, and the test queries left by a skip."""

    name: str
    words: str
    where: str
    queries: str = QUERIES
    qrels: str | bytes = QRELS
    left: tuple[str, ...] = ("q1", "q2")


CASES = [
    Case("unknown document", "no document 'd99' in the corpus", "test.tsv:4", qrels=QRELS + "q1\td99\t1\n"),
    Case("unknown query", "no query 'q9'", "test.tsv:4", qrels=QRELS + "q9\td1\t1\n"),
    Case("score is a word", "the score 'high' is no number", "test.tsv:4", qrels=QRELS + "q1\td2\thigh\n"),
    Case("score is nan", "no whole number", "test.tsv:4", qrels=QRELS + "q1\td2\tnan\n"),
    Case("score is infinite", "no whole number", "test.tsv:4", qrels=QRELS + "q1\td2\tinf\n"),
    Case("score is negative", "no whole number of at least 0", "test.tsv:4", qrels=QRELS + "q1\td2\t-1\n"),
    Case("score is a fraction", "no whole number", "test.tsv:4", qrels=QRELS + "q1\td2\t0.5\n"),
    Case("score is a million", "below 1000", "test.tsv:4", qrels=QRELS + "q1\td2\t1000000\n"),
    Case("score is empty", "3 columns", "test.tsv:4", qrels=QRELS + "q1\td2\t\n"),
    Case("two columns", "2 columns", "test.tsv:4", qrels=QRELS + "q1\td2\n"),
    Case("five columns", "5 columns", "test.tsv:4", qrels=QRELS + "q1\t0\td2\t1\t7\n"),
    Case("judged twice, differently", "judged twice", "test.tsv:4", qrels=QRELS + "q1\td1\t0\n"),
    Case("not utf-8", "not utf-8", "test.tsv:4", qrels=QRELS.encode() + b"q1\t\xff\t1\n"),
    Case("query without text", "query 'q3' has no text", "queries.jsonl:3", queries=QUERIES + '{"_id": "q3", "text": " "}\n'),
    Case("query text missing", "query 'q3' has no text", "queries.jsonl:3", queries=QUERIES + '{"_id": "q3"}\n'),
    Case("query text a number", "query 'q3' has no text", "queries.jsonl:3", queries=QUERIES + '{"_id": "q3", "text": 3}\n'),
    Case("query without id", "a query without an id", "queries.jsonl:3", queries=QUERIES + '{"text": "x"}\n'),
    Case("query id twice", "duplicate query id 'q1'", "queries.jsonl:3", queries=QUERIES + '{"_id": "q1", "text": "x"}\n'),
    Case("query not json", "not JSON", "queries.jsonl:3", queries=QUERIES + "{\n"),
]  # fmt: skip


@pytest.fixture
def beir(tmp_path: Path):
    """``beir(queries, qrels)`` → a BEIR folder of six documents."""

    def write(queries: str, **qrels: str | bytes) -> Path:
        words = ["amber birch", "cedar dune", "ember fjord", "gorge heath", "islet jetty", "knoll ledge"]
        documents = [
            {
                "_id": f"d{i}",
                "title": f"all about {pair}",
                "text": f"{pair} are two words that say where we walk today",
            }
            for i, pair in enumerate(words, start=1)
        ]
        (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(d) + "\n" for d in documents))
        (tmp_path / "queries.jsonl").write_text(queries)
        (tmp_path / "qrels").mkdir(exist_ok=True)
        for split, content in qrels.items():
            data = content if isinstance(content, bytes) else content.encode()
            (tmp_path / "qrels" / f"{split}.tsv").write_bytes(data)
        return tmp_path

    return write


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_label_ends_the_run(case: Case, beir, ingest, split) -> None:
    folder = beir(case.queries, test=case.qrels)
    with pytest.raises(DataError) as error:
        split(ingest(folder), {"type": "beir", "path": folder})
    assert case.words in str(error.value)
    assert error.value.where.endswith(case.where)
    assert "split.on_bad_row=skip" in error.value.remedy


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_label_is_skipped_counted_and_listed(case: Case, beir, ingest, split, rows) -> None:
    folder = beir(case.queries, test=case.qrels)
    queries = split(ingest(folder), {"type": "beir", "path": folder}, on_bad_row="skip", min_body_words=4)
    assert tuple(read_judgements(queries.path, "test").qrels) == case.left
    (listed,) = rows(queries, "rejected.jsonl")
    assert case.words in listed["reason"]
    assert json_of(queries, "report.json")["rejected"] == 1


def test_one_document_only(jsonl, ingest, split) -> None:
    corpus = ingest(jsonl({"_id": "a", "title": "A title", "text": "a text of words"}))
    with pytest.raises(DataError, match="one document only"):
        split(corpus)


def test_documents_that_give_no_query(jsonl, ingest, split) -> None:
    corpus = ingest(jsonl(*({"_id": str(i), "text": f"word{i}"} for i in range(5))))
    queries = split(corpus)
    splits = json_of(queries, "report.json")["splits"]
    assert {name: figures["queries"] for name, figures in splits.items()} == {"train": 0, "dev": 0, "test": 0}


@pytest.mark.parametrize("labels", ["beir", "log"])
def test_labels_that_are_not_there(labels: str, jsonl, ingest, split, tmp_path: Path) -> None:
    corpus = ingest(jsonl({"_id": "a", "text": "one"}, {"_id": "b", "text": "two"}))
    with pytest.raises(DataError, match=r"no (file|folder) 'gone") as error:
        split(corpus, {"type": labels, "path": tmp_path / "gone.tsv"})
    assert error.value.found == "nothing"


LOGS = [
    (
        "count is a word",
        "query\tdoc_id\tcount\nwhere do we walk\td1\tmany\n",
        "the count 'many' is no whole number",
    ),
    (
        "count is negative",
        "query\tdoc_id\tcount\nwhere do we walk\td1\t-2\n",
        "the count -2 is not between 0 and 1e+12",
    ),
    ("query is empty", "query\tdoc_id\tcount\n \td1\t1\n", "a query without text"),
    ("document is empty", "query\tdoc_id\tcount\nwhere do we walk\t\t1\n", "no document id"),
    ("document is unknown", "query\tdoc_id\tcount\nwhere do we walk\td77\t1\n", "no document 'd77'"),
    ("row too short", "query\tdoc_id\tcount\nwhere do we walk\td1\n", "2 values in a row"),
    ("no such column", "search\tdoc_id\tcount\nwhere do we walk\td1\t1\n", "no column 'query'"),
]


@pytest.mark.parametrize(("log", "words"), [case[1:] for case in LOGS], ids=[case[0] for case in LOGS])
def test_bad_rows_of_a_query_log(log: str, words: str, beir, ingest, split, tmp_path: Path) -> None:
    corpus = ingest(beir(""))
    (tmp_path / "log.tsv").write_text(log)
    labels: dict[str, Any] = {"type": "log", "path": tmp_path / "log.tsv"}
    with pytest.raises(DataError) as error:
        split(corpus, labels)
    assert words in str(error.value)
    assert "log.tsv:2" in error.value.where


def test_a_judgement_of_a_document_without_text_is_counted_not_refused(beir, ingest, split) -> None:
    folder = beir(QUERIES, test=QRELS + "q1\td7\t1\n")
    with (folder / "corpus.jsonl").open("a") as stream:
        stream.write('{"_id": "d7", "title": "", "text": ""}\n')
    queries = split(ingest(folder), {"type": "beir", "path": folder}, min_body_words=4)
    assert json_of(queries, "report.json")["judgements_of_textless_documents"] == 1
    assert read_judgements(queries.path, "test").qrels == {"q1": {"d1": 1}, "q2": {"d2": 1}}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("q1 0 a,b 1", ("q1", "a,b", 1)),
        ("q,1 Q0 d 2", ("q,1", "d", 2)),
        ("q1, 0, d1, 1", ("q1", "d1", 1)),
        ("query\td1\t1", ("query", "d1", 1)),
        ("query d1 1", ("query", "d1", 1)),
    ],
)
def test_ids_with_commas_and_a_first_row_without_a_header(tmp_path, line, expected) -> None:
    path = tmp_path / "test.tsv"
    path.write_text(line + "\n")
    (found,) = read_qrels(path, pytest.fail)
    assert (found.query_id, found.doc_id, found.relevance) == expected


@pytest.mark.parametrize(
    "text",
    [
        "corpus-id,query-id,score\n7,3,1\n",
        "relevance\tdoc_id\tqid\n1\t7\t3\n",
        "query_id,doc_id,score,annotator\n3,7,1,12\n",
        "query_id;doc_id;score\n3;7;1\n",
    ],
)
def test_a_header_says_which_column_is_which(tmp_path, text) -> None:
    path = tmp_path / "test.csv"
    path.write_text(text)
    (found,) = read_qrels(path, pytest.fail)
    assert (found.query_id, found.doc_id, found.relevance) == ("3", "7", 1)


def test_a_column_without_a_name_holds_no_query_id(tmp_path) -> None:
    (tmp_path / "queries.csv").write_text(",query\n0,where do we walk\n")
    refused = []
    assert not read_queries(tmp_path / "queries.csv", refused.append)
    assert "without an id" in refused[0].reason


def test_counts_are_whole_and_a_named_column_of_counts_is_there(tmp_path) -> None:
    path, names = tmp_path / "log.jsonl", {"query": "query", "document": "doc_id"}
    path.write_text(
        '{"query": "a", "doc_id": "d1", "count": 2.7}\n{"query": "a", "doc_id": "d1", "count": "30.0"}\n'
    )
    refused = []
    assert read_log(path, refused.append, **names, count="count").judgements[""][0].relevance == 2
    assert [r.reason for r in refused] == ["the count '2.7' is no whole number"]
    with pytest.raises(DataError, match="no column 'clicks'"):
        read_log(path, pytest.fail, **names, count="clicks")


def test_labels_in_another_encoding_are_told_what_can_be_done(tmp_path) -> None:
    (tmp_path / "test.csv").write_bytes("q,café,1\n".encode("cp1252"))
    refused = []
    read_qrels(tmp_path / "test.csv", refused.append)
    assert "save it as UTF-8" in refused[0].reason


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (["queries.jsonl"], "has no qrels"),
        (["qrels/test.tsv"], "has no queries.jsonl"),
        (["queries.jsonl", "qrels/test.tsv"], "holds no judgement"),
        ([], "has no queries.jsonl and no qrels"),
    ],
)
def test_a_beir_folder_without_labels_says_so(tmp_path, files, told) -> None:
    (tmp_path / "corpus.jsonl").write_text('{"_id": "d", "text": "x"}\n')
    (tmp_path / "qrels").mkdir()
    for name in files:
        text = '{"_id": "q", "text": "x"}\n' if name.endswith("jsonl") else "query-id\tcorpus-id\tscore\n"
        (tmp_path / name).write_text(text)
    auto = AutoLabels(path=tmp_path)
    assert told in without_judgements(auto, read_labels(auto, pytest.fail))


def test_an_empty_log_says_so_and_documents_alone_say_nothing(tmp_path) -> None:
    (tmp_path / "clicks.csv").write_text("query,doc_id,count\n")
    log = LogLabels(path=tmp_path / "clicks.csv")
    assert "clicks.csv holds no judgement" in without_judgements(log, read_labels(log, pytest.fail))
    (tmp_path / "docs.jsonl").write_text("")
    for none in (NoLabels(), AutoLabels(path=tmp_path / "docs.jsonl")):
        assert without_judgements(none, read_labels(none, pytest.fail)) == ""

"""Splits: official ones kept, missing ones made or derived, nothing leaking from one to the other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from records import json_of

from embedlib.artifact import ArtifactRef
from embedlib.config.data import Split
from embedlib.contracts import Corpus, document_text, read_judgements
from embedlib.corpus.derive import read_withheld
from embedlib.corpus.leaks import LeakFilter, normalised
from embedlib.corpus.titles import body_of
from embedlib.errors import DataError

NOUNS = [
    "amber",
    "birch",
    "cedar",
    "dune",
    "ember",
    "fjord",
    "gorge",
    "heath",
    "islet",
    "jetty",
    "knoll",
    "ledge",
]
PLACES = [
    "market",
    "harbour",
    "tower",
    "garden",
    "library",
    "station",
    "bridge",
    "museum",
    "castle",
    "chapel",
]
BODY = "stands where two old roads meet, and people who come by on a clear morning stop to look at its number"


def _documents(n: int, *, title: bool = True) -> list[dict[str, str]]:
    names = [f"{a} {b} {c}" for a in NOUNS for b in PLACES for c in reversed(NOUNS)][:n]
    return [
        {
            "_id": f"d{i:04d}",
            "title": f"visiting the {name}" if title else "",
            "text": f"It {BODY} {i} {i * 7}.",
        }
        for i, name in enumerate(names)
    ]


@pytest.fixture
def beir(tmp_path: Path) -> Callable[..., Path]:
    """``beir(documents, queries, train=..., test=...)``: judgements as (query, document[, score])."""

    def write(documents: list[dict[str, str]], queries: dict[str, str], **splits: list[tuple]) -> Path:
        folder = tmp_path / "beir"
        (folder / "qrels").mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(d) for d in documents]
        (folder / "corpus.jsonl").write_text("\n".join(lines))
        (folder / "queries.jsonl").write_text(
            "\n".join(json.dumps({"_id": query_id, "text": text}) for query_id, text in queries.items())
        )
        for split, judged in splits.items():
            rows = ["query-id\tcorpus-id\tscore", *("\t".join(map(str, (*j, 1)[:3])) for j in judged)]
            (folder / "qrels" / f"{split}.tsv").write_text("\n".join(rows))
        return folder

    return write


def _names(queries: ArtifactRef) -> dict[str, set[str]]:
    return {split: set(read_judgements(queries.path, split).qrels) for split in ("train", "dev", "test")}


def _held_out(queries: ArtifactRef, rows) -> set[str]:
    return {row["doc_id"] for row in rows(queries, "held_out.parquet")}


def test_official_splits_are_kept_and_overlaps_leave_train(beir, ingest, split) -> None:
    queries = {
        "t1": "Where is the old market of the town?",
        "t2": "how tall is the tower",
        "v1": "what grows in the castle garden",
        "a1": "where is the old market of the town",
        "a2": "how tall is the tower?",
        "a3": "what grows in the castle gardens",
        "a4": "who built the bridge",
    }
    judged = {name: (name, f"d000{i}") for i, name in enumerate(queries)}
    folder = beir(
        _documents(20), queries,
        train=[judged[q] for q in ("a1", "a2", "a3", "a4")],
        validation=[judged["v1"]],
        test=[judged["t1"], (*judged["t2"], 2), ("t2", "d0009", 0)],
    )  # fmt: skip
    ref = split(ingest(folder), {"type": "auto", "path": folder})
    assert _names(ref) == {"train": {"a4"}, "dev": {"v1"}, "test": {"t1", "t2"}}
    test = read_judgements(ref.path, "test")
    assert test.qrels["t2"] == {"d0001": 2, "d0009": 0}
    assert set(test.origins.values()) == {"human"}
    assert test.labels == {"t1": None, "t2": None}
    report = json_of(ref, "report.json")
    assert report["made_by"] == "official"
    overlaps = {pair: (o["exact"], o["near"], o["removed"]) for pair, o in report["overlaps"].items()}
    assert overlaps == {"train/test": (2, 0, 2), "train/dev": (0, 1, 1), "dev/test": (0, 0, 0)}
    assert report["overlaps"]["train/dev"]["examples"] == [[queries["a3"], queries["v1"]]]
    assert read_withheld(ref.path) == {}
    assert ref.manifest.summary["train_queries"] == 1


def test_more_documents_leave_what_was_held_out_held_out(jsonl, ingest, split, rows) -> None:
    """A model that is live was trained on the pairs of the others: tested on those, it could not be beaten."""
    documents = _documents(600)
    before = split(ingest(jsonl(*documents[30:], name="before.jsonl")))
    after = split(ingest(jsonl(*documents, name="after.jsonl")))
    tested = {next(iter(judged)) for judged in read_judgements(after.path, "test").qrels.values()}
    known = {d["_id"] for d in documents[30:]}
    assert len(tested & known) > 90
    assert len(tested & known - _held_out(before, rows)) <= 2


def test_more_labels_leave_test_queries_out_of_train(beir, ingest, split, tmp_path) -> None:
    documents = _documents(400)
    asked = {f"q{i:03d}": d["title"].replace("visiting", "who visits") for i, d in enumerate(documents)}
    corpus = ingest(beir(documents, asked))
    splits = []
    for count in (380, 400):
        (tmp_path / "qrels.tsv").write_text(
            "".join(f"q{i:03d} d{i:04d} 1\n" for i in range(400 - count, 400))
        )
        files = {"queries": tmp_path / "beir" / "queries.jsonl", "qrels": tmp_path / "qrels.tsv"}
        splits.append(_names(split(corpus, {"type": "files", **files})))
    assert len(splits[1]["test"]) == 100
    assert len(splits[1]["test"] & splits[0]["train"]) <= 2


def test_labels_find_ids_however_their_accents_are_written(beir, ingest, split) -> None:
    documents = [{**d, "_id": f"cafe\u0301 {i}"} for i, d in enumerate(_documents(20))]
    folder = beir(documents, {"q": "where is the market"}, test=[("q", "caf\u00e9 1")])
    ref = split(ingest(folder), {"type": "beir", "path": folder})
    assert read_judgements(ref.path, "test").qrels == {"q": {"cafe\u0301 1": 1}}


def test_unread_judgement_files_are_named(beir, ingest, split) -> None:
    folder = beir(
        _documents(20), {"q": "where is the market"}, test=[("q", "d0001")], train_small=[("q", "d0002")]
    )
    ref = split(ingest(folder), {"type": "beir", "path": folder})
    assert json_of(ref, "report.json")["unread_files"] == ["train_small.tsv"]


def test_only_test_labels_get_a_derived_dev(beir, ingest, split, rows) -> None:
    documents = _documents(100)
    documents[3]["title"] = "where do people stop"
    folder = beir(documents, {"q": "where do people stop?"}, test=[("q", "d0003")])
    corpus = ingest(folder)
    ref = split(corpus, {"type": "beir", "path": folder})
    test, dev = read_judgements(ref.path, "test"), read_judgements(ref.path, "dev")
    assert set(test.origins.values()) == {"human"}
    assert set(dev.origins.values()) == {"derived:title"}
    assert len(dev.queries) == 16
    assert "where do people stop" not in dev.queries.values()
    by_id = {d.doc_id: d for d in Corpus(corpus.path).documents()}
    for query_id, judged in dev.qrels.items():
        ((doc_id, relevance),) = judged.items()
        assert (query_id, relevance) == (f"derived:{doc_id}", 1)
        assert dev.queries[query_id] == by_id[doc_id].title
        assert read_withheld(ref.path)[doc_id] == by_id[doc_id].text
        assert doc_id in _held_out(ref, rows)


def test_without_labels_test_and_dev_are_derived_and_their_documents_held_out(
    jsonl, ingest, split, rows
) -> None:
    documents = _documents(300)
    documents[7]["text"] = documents[8]["text"] = (
        "the same body for two titles, of which neither may be asked for"
    )
    documents[9]["text"] = f"{documents[9]['title'].upper()}: {documents[9]['text']}"
    documents[10]["text"] = (
        f"Before {documents[10]['title']} one sleeps, and then one walks for a whole long day"
    )
    documents[11]["title"] = documents[12]["title"] = "a title of two documents"
    documents[13]["text"] = "too short"
    corpus = ingest(jsonl(*documents, name="plain.jsonl"))
    ref = split(corpus)
    test, dev = read_judgements(ref.path, "test"), read_judgements(ref.path, "dev")
    assert (len(test.queries), len(dev.queries)) == (100, 50)
    asked = {d for qrels in (test.qrels, dev.qrels) for judged in qrels.values() for d in judged}
    assert not asked & {f"d{i:04d}" for i in (7, 8, 10, 11, 12, 13)}
    assert set(read_withheld(ref.path)) == asked
    assert asked <= _held_out(ref, rows)
    by_id = {d.doc_id: d for d in Corpus(corpus.path).documents()}
    for text, query in zip(test.queries.values(), test.qrels.values(), strict=True):
        (doc_id,) = query
        assert normalised(text) not in normalised(read_withheld(ref.path)[doc_id])
    assert body_of(by_id["d0009"]) == f"It {BODY} 9 63."
    assert json_of(ref, "report.json")["made_by"] == "derived"


def test_no_document_left_for_training_resembles_a_derived_query(jsonl, ingest, split, rows) -> None:
    documents = _documents(200)
    for i in range(100):
        documents[100 + i]["title"] = documents[i]["title"] + ("!" if i % 2 else " again")
        documents[100 + i]["text"] = documents[i]["text"] if i % 4 == 0 else documents[100 + i]["text"]
    corpus = ingest(jsonl(*documents, name="plain.jsonl"))
    ref = split(corpus, near_duplicate=0.7)
    derived = {**read_judgements(ref.path, "test").queries, **read_judgements(ref.path, "dev").queries}
    leaks = LeakFilter(list(derived.values()), 0.7)
    left = [d for d in Corpus(corpus.path).documents() if d.doc_id not in _held_out(ref, rows)]
    assert left
    assert not [d.title for d in left if leaks.match(d.title) is not None]
    bodies = set(read_withheld(ref.path).values())
    assert not [d.doc_id for d in left if body_of(d) in bodies]


def test_untitled_documents_are_asked_by_their_first_sentence(jsonl, ingest, split) -> None:
    documents = _documents(60, title=False)
    for i, document in enumerate(documents):
        document["text"] = f"The {NOUNS[i % 12]} {PLACES[i // 12]} was built by hand. {document['text']}"
    corpus = ingest(jsonl(*documents, name="plain.jsonl"))
    test = read_judgements(split(corpus).path, "test")
    assert set(test.origins.values()) == {"derived:sentence"}
    assert all(text.endswith("was built by hand.") for text in test.queries.values())
    withheld = read_withheld(split(corpus).path)
    assert all(text.startswith("It stands") for text in withheld.values())


def test_short_untitled_documents_are_asked_by_their_first_half(jsonl, ingest, split) -> None:
    documents = [{"_id": f"{i}", "text": f"find {noun} -name {noun}.txt -size {i} print {i} lines"} for i, noun in enumerate(NOUNS)]  # fmt: skip
    test = read_judgements(split(ingest(jsonl(*documents, name="plain.jsonl"))).path, "test")
    assert set(test.origins.values()) == {"derived:half"}


def test_a_cut_folder_is_asked_by_its_headings(tmp_path: Path, ingest, split, rows) -> None:
    for noun in NOUNS:
        sections = [f"## The {noun} {place}\n\nIt {BODY} {noun} {place}. {BODY}." for place in PLACES]
        (tmp_path / f"{noun}.md").write_text(f"# All of {noun}\n\n" + "\n\n".join(sections))
    corpus = ingest(tmp_path, chunk={"max_tokens": 64})
    ref = split(corpus)
    test = read_judgements(ref.path, "test")
    assert set(test.origins.values()) == {"derived:heading"}
    dev = read_judgements(ref.path, "dev")
    of_test, of_dev = (
        {d.split("#")[0] for judged in split_of.qrels.values() for d in judged} for split_of in (test, dev)
    )
    assert (len(test.queries), len(dev.queries)) == (40, 20)
    assert not of_test & of_dev
    asked = of_test | of_dev
    assert len(asked) == len(NOUNS) // 2
    of_those_files = {d for d in Corpus(corpus.path).ids if d.split("#")[0] in asked}
    assert len(of_those_files) > len(asked)
    assert _held_out(ref, rows) == of_those_files
    documents = {d.doc_id: d for d in Corpus(corpus.path).documents()}
    for doc_id, text in read_withheld(ref.path).items():
        assert text == document_text(
            documents[doc_id].title, text.removeprefix(documents[doc_id].title).strip()
        )
        assert text in (f"{documents[doc_id].title} {documents[doc_id].text.split(chr(10), 2)[2]}",)


def test_labels_of_a_cut_document_name_the_document_and_of_a_duplicate_the_kept_one(
    tmp_path: Path, jsonl, ingest, split
) -> None:
    long = " ".join(f"Sentence {i} tells of {noun}." for i, noun in enumerate(NOUNS * 4))
    documents = [*_documents(20), {"_id": "long", "title": "Long", "text": long}]
    documents += [{**documents[1], "_id": "twin"}]
    corpus = ingest(jsonl(*documents, name="plain.jsonl"), chunk={"mode": "on", "max_tokens": 64})
    (tmp_path / "q.csv").write_text("query_id,text\nq1,about sentences\nq2,about a twin\n")
    (tmp_path / "r.txt").write_text("q1 0 long 2\nq2 0 twin 1\nq2 0 d0001 3\n")
    labels = {"type": "files", "queries": tmp_path / "q.csv", "test": tmp_path / "r.txt"}
    test = read_judgements(split(corpus, labels).path, "test")
    pieces = [doc_id for doc_id in Corpus(corpus.path).ids if doc_id.startswith("long#")]
    assert len(pieces) > 3
    assert test.qrels == {"q1": {"long": 2}, "q2": {"d0001": 3}}
    assert [Corpus(corpus.path).ids[row] for row in Corpus(corpus.path).rows_of("long")] == pieces


def _labelled(n: int) -> tuple[dict[str, str], list[tuple[str, str]]]:
    names = [f"{b} or {a} by the {c}" for c in NOUNS for b in PLACES for a in NOUNS][:n]
    queries = {f"q{i:04d}": f"how to reach {name} from road {i * 37}" for i, name in enumerate(names)}
    return queries, [(query_id, f"d{i:04d}") for i, query_id in enumerate(queries)]


def test_labels_without_splits_are_divided_by_component(tmp_path: Path, jsonl, ingest, split) -> None:
    queries, judged = _labelled(400)
    queries |= {f"p{i:04d}": f"{queries[f'q{i:04d}']}?" for i in range(0, 400, 10)}
    judged += [(f"p{i:04d}", f"d{i + 1:04d}") for i in range(0, 400, 10)]
    corpus = ingest(jsonl(*_documents(500), name="plain.jsonl"))
    (tmp_path / "q.jsonl").write_text(
        "\n".join(json.dumps({"_id": k, "text": v}) for k, v in queries.items())
    )
    (tmp_path / "r.tsv").write_text("\n".join(f"{q}\t{d}\t1" for q, d in judged))
    labels = {"type": "files", "queries": tmp_path / "q.jsonl", "qrels": tmp_path / "r.tsv"}
    ref = split(corpus, labels)
    report = json_of(ref, "report.json")
    assert (report["made_by"], report["judgements_cut"]) == ("components", 0)
    names = _names(ref)
    assert {name: len(found) for name, found in names.items()} == {"test": 100, "dev": 50, "train": 290}
    documents = {
        name: {d for judged in read_judgements(ref.path, name).qrels.values() for d in judged}
        for name in names
    }
    assert not documents["train"] & documents["test"]
    assert not documents["train"] & documents["dev"]
    assert not documents["dev"] & documents["test"]
    for i in range(0, 400, 10):
        assert (
            len({name for name, found in names.items() for q in (f"q{i:04d}", f"p{i:04d}") if q in found})
            == 1
        )


def test_train_labels_give_test_and_dev_where_those_are_missing(beir, ingest, split) -> None:
    queries, judged = _labelled(300)
    folder = beir(_documents(300), queries, train=judged)
    ref = split(ingest(folder), {"type": "beir", "path": folder})
    assert {name: len(found) for name, found in _names(ref).items()} == {"test": 100, "dev": 50, "train": 150}


def test_few_labels_are_all_test(beir, ingest, split) -> None:
    queries, judged = _labelled(40)
    folder = beir(_documents(100), queries, dev=judged)
    ref = split(ingest(folder), {"type": "beir", "path": folder})
    assert len(_names(ref)["test"]) == 40
    assert "renamed" in json_of(ref, "report.json")
    assert set(read_judgements(ref.path, "dev").origins.values()) == {"derived:title"}


@pytest.mark.parametrize("name", ["log.csv", "log.tsv", "log.jsonl"])
def test_a_query_log_becomes_labels_with_counts(name: str, tmp_path: Path, jsonl, ingest, split) -> None:
    rows = [
        ("old market", "d0001", 3),
        ("Old  market", "d0001", 9),
        ("old market", "d0002", 1),
        ("tower", "d0003", 140),
    ]
    if name.endswith("jsonl"):
        text = "\n".join(json.dumps({"query": q, "doc_id": d, "count": c}) for q, d, c in rows)
    else:
        mark = "," if name.endswith("csv") else "\t"
        text = "\n".join(mark.join(map(str, row)) for row in [("query", "doc_id", "count"), *rows])
    (tmp_path / name).write_text(text)
    corpus = ingest(jsonl(*_documents(50), name="plain.jsonl"))
    ref = split(corpus, {"type": "log", "path": tmp_path / name, "min_count": 2})
    test = read_judgements(ref.path, "test")
    assert test.queries == {"log:old market": "old market", "log:tower": "tower"}
    assert test.qrels == {"log:old market": {"d0001": 2}, "log:tower": {"d0003": 3}}
    assert set(test.origins.values()) == {"log"}


def test_the_same_labels_give_the_same_bytes_and_a_changed_file_is_seen(beir, ingest, split) -> None:
    queries, judged = _labelled(40)
    folder = beir(_documents(100), queries, test=judged)
    corpus = ingest(folder)
    labels = {"type": "auto", "path": folder}
    first = split(corpus, labels)
    beir(_documents(100), queries, test=judged[:-1])
    second = split(corpus, labels)
    assert second.fingerprint != first.fingerprint
    beir(_documents(100), queries, test=judged)
    assert split(corpus, labels).fingerprint == first.fingerprint
    assert split(corpus, labels, test_queries=400).digest == first.digest


def test_a_plain_folder_has_no_labels_to_find(jsonl, ingest, split) -> None:
    path = jsonl(*_documents(60), name="plain.jsonl")
    ref = split(ingest(path), {"type": "auto", "path": path})
    assert set(read_judgements(ref.path, "test").origins.values()) == {"derived:title"}


def _marked(tmp_path: Path, *rows: tuple[str, str, int]) -> Path:
    path = tmp_path / "marks.jsonl"
    path.write_text(
        "".join(json.dumps(dict(zip(("query", "doc_id", "relevance"), r, strict=True))) + "\n" for r in rows)
    )
    return path


def test_marks_join_the_training_labels_and_leave_the_test_queries_derived(
    tmp_path, jsonl, ingest, split
) -> None:
    corpus = ingest(jsonl(*_documents(100), name="plain.jsonl"))
    marks = _marked(
        tmp_path,
        ("Old market", "d0001", 0),
        ("old market", "d0001", 1),  # the last word counts
        ("old market", "d0002", 0),
        ("old market", "gone", 1),
        ("only wrong ones", "d0003", 0),
    )
    marks.write_text('{"query": "cut off by a po\n' + marks.read_text())
    ref = split(corpus, marks=marks)
    train = read_judgements(ref.path, "train")
    assert train.qrels == {"mark:old market": {"d0001": 1, "d0002": 0}, "mark:only wrong ones": {"d0003": 0}}
    assert set(read_judgements(ref.path, "test").origins.values()) == {"derived:title"}
    derived = {d for judged in read_judgements(ref.path, "test").qrels.values() for d in judged}
    assert not derived & {"d0001", "d0002", "d0003"}
    assert json_of(ref, "report.json")["marks"] == {
        "used": 3, "of_documents_that_are_gone": 1, "unreadable": 1,
    }  # fmt: skip
    assert split(corpus, marks=marks).fingerprint == ref.fingerprint
    _marked(tmp_path, ("old market", "d0001", 1))
    assert split(corpus, marks=marks).fingerprint != ref.fingerprint


def test_marks_stay_out_of_given_test_queries(tmp_path, beir, ingest, split) -> None:
    queries, judged = _labelled(160)
    folder = beir(_documents(200), queries, test=judged)
    asked = queries[judged[0][0]]
    ref = split(
        ingest(folder), {"type": "auto", "path": folder},
        marks=_marked(tmp_path, (asked, "d0199", 1), ("a question of its own", "d0198", 1)),
    )  # fmt: skip
    assert set(read_judgements(ref.path, "train").qrels) == {"mark:a question of its own"}
    assert len(_names(ref)["test"]) == 160


@pytest.mark.parametrize(
    "line", ['{"query": "a", "doc_id": "d0001", "relevance": true}', '{"query": " ", "doc_id": "d0001", "relevance": 1}',
             '{"query": "a", "relevance": 1}', '{"query": "a", "doc_id": "d0001", "relevance": 2}'],
)  # fmt: skip
def test_a_line_that_is_no_mark_is_named(line, tmp_path, jsonl, ingest, split) -> None:
    (tmp_path / "marks.jsonl").write_text(line + "\n")
    corpus = ingest(jsonl(*_documents(60), name="plain.jsonl"))
    with pytest.raises(DataError, match=r"marks\.jsonl:1"):
        split(corpus, marks=tmp_path / "marks.jsonl")


def test_a_workspace_without_marks_has_none(tmp_path) -> None:
    path = tmp_path / "marks.jsonl"
    assert Split().with_marks_of_workspace(path).marks == "none"
    path.write_text("")
    assert Split().with_marks_of_workspace(path).marks == path
    assert Split(marks="none").with_marks_of_workspace(path).marks == "none"

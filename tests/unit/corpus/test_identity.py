"""Ids given twice, contents given twice, and both at once: nothing unique is lost, no label moves."""

from __future__ import annotations

from pathlib import Path

from records import json_of

from embedlib.contracts import Corpus
from embedlib.corpus.build import read_aliases
from embedlib.corpus.splits import Resolver

SENTENCES = [f"Sentence {i} tells of the {noun} in the hills." for i, noun in enumerate(("fox", "elk", "owl", "bee") * 5)]  # fmt: skip
LONG = " ".join(SENTENCES)
CUT = {"mode": "on", "max_tokens": 32}


def _reasons(rows, corpus) -> list[str]:
    return [row["reason"] for row in rows(corpus, "rejected.jsonl")]


def test_a_refused_row_is_no_reason_to_leave_out_another(jsonl, ingest, rows) -> None:
    path = jsonl(
        {"_id": "zzz", "text": "a text that stands nowhere else"},
        {"_id": "zzz", "text": "the text of aaa"},
        {"_id": "aaa", "text": "the text of aaa"},
        name="plain.jsonl",
    )
    corpus = ingest(path, on_bad_row="skip")
    assert {d.doc_id: d.text for d in Corpus(corpus.path).documents()} == {
        "aaa": "the text of aaa",
        "zzz": "a text that stands nowhere else",
    }
    assert read_aliases(corpus.path) == {}
    assert _reasons(rows, corpus) == ["duplicate id 'zzz' (first at plain.jsonl:1)"]


def test_a_kept_document_is_not_lost_to_a_refused_twin(jsonl, ingest, rows) -> None:
    path = jsonl(
        {"_id": "aaa", "text": "first"},
        {"_id": "aaa", "text": "what only zzz says"},
        {"_id": "zzz", "text": "what only zzz says"},
        name="plain.jsonl",
    )
    corpus = ingest(path, on_bad_row="skip")
    assert Corpus(corpus.path).ids == ["aaa", "zzz"]
    assert len(_reasons(rows, corpus)) == 1


def test_a_short_and_a_long_document_of_one_id_are_not_mixed(jsonl, ingest, rows) -> None:
    path = jsonl({"_id": "a", "text": "short"}, {"_id": "a", "text": LONG}, name="plain.jsonl")
    corpus = ingest(path, on_bad_row="skip", chunk=CUT)
    assert Corpus(corpus.path).ids == ["a"]
    assert _reasons(rows, corpus) == ["duplicate id 'a' (first at plain.jsonl:1)"]


def test_two_long_documents_of_one_id_are_not_mixed(jsonl, ingest, rows) -> None:
    path = jsonl({"_id": "a", "text": LONG}, {"_id": "a", "text": f"{LONG} {LONG}"}, name="plain.jsonl")
    corpus = Corpus(ingest(path, on_bad_row="skip", chunk=CUT).path)
    alone = Corpus(ingest(jsonl({"_id": "a", "text": LONG}, name="alone.jsonl"), chunk=CUT).path)
    assert [d.text for d in corpus.documents()] == [d.text for d in alone.documents()]


def test_an_id_that_reads_like_a_chunks_is_refused_where_that_chunk_is(jsonl, ingest, rows) -> None:
    path = jsonl({"_id": "a", "text": LONG}, {"_id": "a#0001", "text": "another"}, name="plain.jsonl")
    corpus = ingest(path, on_bad_row="skip", chunk=CUT)
    assert "another" not in {d.text for d in Corpus(corpus.path).documents()}
    assert _reasons(rows, corpus) == ["duplicate id 'a#0001' (first at plain.jsonl:1)"]


def test_a_label_of_a_long_duplicate_means_the_one_kept(jsonl, ingest) -> None:
    path = jsonl({"_id": "b", "text": LONG}, {"_id": "a", "text": LONG}, {"_id": "c", "text": "c"}, name="plain.jsonl")  # fmt: skip
    corpus = ingest(path, chunk=CUT)
    assert {doc_id.split("#")[0] for doc_id in Corpus(corpus.path).ids} == {"a", "c"}
    assert Resolver(corpus.path)("b") == "a"
    assert json_of(corpus, "profile.json")["duplicates_dropped"] == 1


def test_a_label_of_a_document_whose_chunks_are_all_near_duplicates_means_the_one_kept(jsonl, ingest) -> None:
    path = jsonl(
        {"_id": "a", "text": LONG},
        {"_id": "b", "text": LONG.upper()},
        {"_id": "c", "text": LONG.upper()},
        name="plain.jsonl",
    )
    corpus = ingest(path, chunk=CUT, near_duplicates={"action": "drop", "threshold": 0.9})
    assert {doc_id.split("#")[0] for doc_id in Corpus(corpus.path).ids} == {"a"}
    assert set(Corpus(corpus.path).document_of.values()) == {"a"}
    assert (Resolver(corpus.path)("b"), Resolver(corpus.path)("c")) == ("a", "a")


def test_a_label_of_a_document_with_a_group_means_the_document(tmp_path: Path, jsonl, ingest) -> None:
    documents = [{"_id": "a", "text": LONG, "kind": "k"}, {"_id": "b", "text": "short", "kind": "k"}]
    source = {"type": "jsonl", "path": jsonl(*documents, name="p.jsonl"), "fields": {"group_id": "kind"}}
    corpus = ingest(source, chunk=CUT)
    resolver = Resolver(corpus.path)
    assert (resolver("a"), resolver("b"), resolver("k")) == ("a", "b", None)
    assert len(Corpus(corpus.path).rows_of("a")) > 2

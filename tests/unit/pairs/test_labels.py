"""Labelled pairs: of a document that was cut, the chunk that answers."""

from __future__ import annotations

from pathlib import Path

import pytest
from evaluation_data import write_corpus, write_queries

from embedlib.contracts import Corpus
from embedlib.mining.known_positives import KnownPositives
from embedlib.pairs.labels import answering_chunks, labelled_pairs

TEXTS = {
    "long#0001": "An introduction to the house.",
    "long#0002": "The boiler is repaired by turning the valve.",
    "long#0003": "The roof is made of slate.",
    "other": "The boiler of another house.",
}
CUT = {doc_id: "long" for doc_id in TEXTS if "#" in doc_id}


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return write_corpus(tmp_path / "corpus", TEXTS, cut_from=CUT)


def _queries(tmp_path: Path, *rows: tuple[str, str, dict[str, int]]) -> Path:
    return write_queries(tmp_path / "queries", [(q, t, "train", "human", None, d) for q, t, d in rows])


def test_a_label_trains_on_the_chunk_that_answers_and_on_no_other(tmp_path: Path, corpus: Corpus) -> None:
    queries = _queries(tmp_path, ("q1", "repair a boiler valve", {"long": 1, "other": 1}), ("q2", "slate", {"long": 2}))  # fmt: skip
    found = labelled_pairs(queries, corpus, set())
    assert [(p.query_id, p.doc_id, p.score) for p in found.pairs] == [
        ("q1", "long#0002", 1.0),
        ("q1", "other", 1.0),
        ("q2", "long#0003", 2.0),
    ]


def test_a_query_without_a_word_in_common_gets_the_opening(corpus: Corpus) -> None:
    assert answering_chunks(corpus, {"long": ["zebra"]}) == {("long", "zebra"): "long#0001"}


def test_chunks_without_words_can_be_asked(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path, {"a#1": "...", "a#2": "---"}, cut_from={"a#1": "a", "a#2": "a"})
    assert answering_chunks(corpus, {"a": ["x"]}) == {("a", "x"): "a#1"}


def test_a_chunk_that_is_held_out_is_not_chosen(tmp_path: Path, corpus: Corpus) -> None:
    queries = _queries(tmp_path, ("q", "boiler", {"long": 1}))
    assert [p.doc_id for p in labelled_pairs(queries, corpus, {"long#0002"}).pairs] == ["long#0001"]
    none = labelled_pairs(queries, corpus, set(CUT))
    assert (none.pairs, none.counts["held_out"]) == ([], 1)


def test_no_chunk_of_a_relevant_document_becomes_a_negative(tmp_path: Path, corpus: Corpus) -> None:
    known = KnownPositives()
    known.add_judgements(_queries(tmp_path, ("q", "boiler", {"long": 1})), corpus)
    assert known.of(["boiler"]).tolist() == [[0, 1, 2]]

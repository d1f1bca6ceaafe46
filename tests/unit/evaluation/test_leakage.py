"""A leak planted in each place is caught and named; clean training data raises none."""

from __future__ import annotations

import pytest
from evaluation_data import write_corpus, write_queries

from embedlib.evaluation.judged import read_judged
from embedlib.evaluation.leakage import content_duplicates, find_leaks

HUMAN = {
    "dataset": "human",
    "query_id": "h1",
    "query": "how do I list hidden files in a folder",
    "relevant_ids": ["d1"],
    "twin_ids": ["d1", "d9"],
}
DERIVED = {
    "dataset": "derived",
    "query_id": "t1",
    "query": "Effects of vitamin D on bone density",
    "relevant_ids": ["d2"],
    "twin_ids": ["d2", "d7"],
}


def example(query="an unrelated question about rivers", positive="d5"):
    return {"query_id": "train-1", "query": query, "positive_id": positive}


@pytest.mark.parametrize(
    ("planted", "kind", "query_id"),
    [
        (example(HUMAN["query"].upper() + "?"), "query", "h1"),
        (example("How do I list hidden files in a folders?"), "near-duplicate query", "h1"),
        (example("In a folder, hidden files: how do I list"), "same words", "h1"),
        (example(DERIVED["query"]), "query", "t1"),
        (example(positive="d2"), "document", "t1"),
        (example(positive="d7"), "duplicate document", "t1"),
    ],
)
def test_each_leak_is_named(planted, kind, query_id):
    (leak,) = find_leaks([HUMAN, DERIVED], [example(), planted])
    assert (leak.kind, leak.query_id) == (kind, query_id)
    assert f"'{query_id}'" in leak.detail
    assert "'train-1'" in leak.detail


def test_a_paraphrase_is_named_without_voiding_the_test():
    leaks = find_leaks([HUMAN], [example("folder with hidden files: how do I list"), example(HUMAN["query"])])
    assert {leak.kind: leak.voids for leak in leaks} == {"same words": False, "query": True}


def test_two_words_are_too_few_to_be_a_paraphrase():
    short = {**HUMAN, "query": "hidden files"}
    assert find_leaks([short], [example("files, hidden")]) == []


def test_training_on_a_document_of_a_human_query_is_fair():
    assert find_leaks([HUMAN], [example(positive="d1"), example(positive="d9")]) == []


def test_pairs_are_checked_by_their_document_too():
    pair = {"query_id": "p", "query": "some other words entirely", "doc_id": "d2"}
    assert [leak.kind for leak in find_leaks([DERIVED], [pair])] == ["document"]


def test_a_query_leaked_often_is_reported_once_a_kind():
    leaks = find_leaks([HUMAN], [example(HUMAN["query"])] * 3)
    assert len(leaks) == 1


def test_no_test_queries_no_leaks():
    assert find_leaks([], [example()]) == []


def test_twins_are_rows_of_the_document_and_rows_that_say_the_same(tmp_path):
    texts = {"d1": "apple pie", "d2": "bread", "d3": "apple pie", "d4": "cheese"}
    corpus = write_corpus(tmp_path, texts, cut_from={"d2": "G", "d4": "G"})
    queries = write_queries(
        tmp_path / "q",
        [("q1", "x", "test", "human", None, {"d1": 1}), ("q2", "y", "dev", "human", None, {"G": 1})],
    )
    assert content_duplicates(read_judged(corpus, queries, "test")["human"], corpus) == {"d1": ["d1", "d3"]}
    assert content_duplicates(read_judged(corpus, queries, "dev")["human"], corpus) == {"G": ["d2", "d4"]}

"""Judged sets: kinds kept apart, chunks brought to documents, queries taken out of their documents."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation_data import DOCUMENTS, write_corpus, write_queries
from toys import ToyEncoder

from embedlib.errors import DataError
from embedlib.evaluation.dev import DevSet
from embedlib.evaluation.judged import primary_set, read_judged, substituted


def _queries(tmp_path, *queries, withheld=None):
    return write_queries(tmp_path / "queries", list(queries), withheld)


HUMAN = ("q1", "pie of apples", "dev", "human", "food", {"d1": 2})
DERIVED = ("q2", "fig jam", "dev", "derived:title", None, {"d6": 1})
TEST = ("q3", "cheese", "test", "human", None, {"d3": 1})


def test_kinds_are_kept_apart_and_human_labels_decide(tmp_path):
    corpus, queries = (
        write_corpus(tmp_path),
        _queries(tmp_path, HUMAN, DERIVED, TEST, withheld={"d6": "sweet spread"}),
    )
    sets = read_judged(corpus, queries, "dev")
    assert {name: s.query_ids for name, s in sets.items()} == {"human": ["q1"], "derived": ["q2"]}
    assert primary_set(sets) is sets["human"]
    assert sets["human"].withheld == {}
    assert list(sets["derived"].texts(DOCUMENTS.values())) == [*list(DOCUMENTS.values())[:5], "sweet spread"]
    assert sets["human"].tags == {"q1": "food"}


def test_withheld_texts_of_another_split_are_not_applied(tmp_path):
    other = ("q4", "egg", "test", "derived:title", None, {"d5": 1})
    queries = _queries(tmp_path, DERIVED, other, withheld={"d5": "fried rice", "d6": "jam"})
    assert read_judged(write_corpus(tmp_path), queries, "dev")["derived"].withheld == {5: "jam"}


def test_a_set_without_any_relevant_document_decides_nothing(tmp_path):
    queries = _queries(tmp_path, ("q", "x", "dev", "human", None, {"d1": 0}))
    sets = read_judged(write_corpus(tmp_path), queries, "dev")
    assert sets["human"].answerable == 0
    assert primary_set(sets) is None


def test_a_query_that_nothing_answers_is_left_out_where_others_are_answered(tmp_path):
    unanswered = ("q0", "stew", "dev", "human", None, {"d2": 0})
    assert read_judged(write_corpus(tmp_path), _queries(tmp_path, unanswered, HUMAN), "dev")[
        "human"
    ].query_ids == ["q1"]


def test_a_question_asked_twice_is_answerable_once(tmp_path):
    again = ("q9", "Pie of  apples?", "dev", "human", None, {"d1": 1})
    judged = read_judged(write_corpus(tmp_path), _queries(tmp_path, HUMAN, again), "dev")["human"]
    assert (len(judged.query_ids), judged.answerable) == (2, 1)


CUT = {"d1": "A", "d2": "A", "d3": "B"}


def test_judgements_of_documents_are_brought_to_their_chunks(tmp_path):
    corpus = write_corpus(tmp_path, cut_from=CUT)
    queries = _queries(
        tmp_path,
        ("q1", "apple", "dev", "human", None, {"A": 1}),
        ("q2", "cake", "dev", "human", None, {"d3": 2, "B": 1}),
    )
    judged = read_judged(corpus, queries, "dev")["human"]
    assert list(judged.labels) == ["A", "A", "B", "d4", "d5", "d6"]
    assert judged.qrels == {"q1": {"A": 1}, "q2": {"B": 2}}
    assert judged.chunks == 2


def test_a_document_that_was_cut_is_one_hit_where_others_are_judged(tmp_path):
    corpus = write_corpus(tmp_path, cut_from=CUT)
    queries = _queries(tmp_path, ("q1", "soup", "dev", "human", None, {"d4": 1}))
    assert read_judged(corpus, queries, "dev")["human"].labels[:3] == ["A", "A", "B"]


def test_judgements_of_chunks_are_kept_to_chunks(tmp_path):
    corpus = write_corpus(tmp_path, cut_from=CUT)
    queries = _queries(tmp_path, ("q1", "bread", "dev", "derived:heading", None, {"d2": 1}))
    judged = read_judged(corpus, queries, "dev")["derived"]
    assert (list(judged.labels), judged.qrels) == (corpus.ids, {"q1": {"d2": 1}})


def test_a_group_that_a_user_named_is_no_document(tmp_path):
    corpus = write_corpus(tmp_path, groups={"d1": "A", "d2": "A"})
    queries = _queries(tmp_path, ("q1", "apple", "dev", "human", None, {"A": 1}))
    with pytest.raises(DataError, match="'A'"):
        read_judged(corpus, queries, "dev")


def test_dev_finds_a_document_behind_many_chunks_of_another(tmp_path):
    texts = {f"a#{i:04d}": "aaa" for i in range(30)} | {"b": "ab"}
    corpus = write_corpus(tmp_path, texts, cut_from={f"a#{i:04d}": "a" for i in range(30)})
    queries = _queries(tmp_path, ("q", "aa", "dev", "human", None, {"b": 1}))
    dev = DevSet.read(corpus, queries, rng=np.random.default_rng(0))
    assert dev.score(ToyEncoder(), "RR@2", depth=2)[0] == 0.5


def test_a_judgement_of_no_document_is_named(tmp_path):
    queries = _queries(tmp_path, ("q1", "apple", "dev", "human", None, {"nowhere": 1}))
    with pytest.raises(DataError, match="'nowhere'"):
        read_judged(write_corpus(tmp_path), queries, "dev")


def test_substituted_replaces_rows_in_every_block_and_leaves_the_source_alone():
    vectors = np.arange(12, dtype=np.float32).reshape(6, 2)
    new = -np.ones((3, 2), dtype=np.float32)
    blocks = [(0, vectors[:2]), (2, vectors[2:4]), (4, vectors[4:])]
    out = np.concatenate([block for _, block in substituted(blocks, [1, 2, 5], new)])
    assert out.tolist() == [[0, 1], [-1, -1], [-1, -1], [6, 7], [8, 9], [-1, -1]]
    assert vectors[1].tolist() == [2, 3]


def test_dev_corpus_keeps_every_judged_document_and_fills_up(tmp_path):
    corpus, queries = write_corpus(tmp_path), _queries(tmp_path, HUMAN, DERIVED)
    for size, count in [(0, 1), (4, 4), (99, 6)]:
        rows = DevSet.read(corpus, queries, size=size, rng=np.random.default_rng(1)).rows
        assert len(rows) == count
        assert 0 in rows
        assert rows.tolist() == sorted(set(rows.tolist()))


def test_dev_score_by_hand(tmp_path):
    corpus = write_corpus(tmp_path, {"a": "aaa", "b": "bbb", "c": "abc"})
    queries = _queries(
        tmp_path,
        ("q1", "aa", "dev", "human", None, {"a": 1}),
        ("q2", "bb", "dev", "human", None, {"c": 1}),
    )
    dev = DevSet.read(corpus, queries, rng=np.random.default_rng(0))
    encoder = ToyEncoder()
    mean, values = dev.score(encoder, "RR@10")
    assert values.tolist() == [1.0, 0.5]
    assert mean == 0.75
    assert encoder.calls == 2


def test_dev_score_sees_a_derived_querys_document_without_the_query(tmp_path):
    corpus = write_corpus(tmp_path, {"a": "aaa zzz", "b": "ab"})
    queries = _queries(tmp_path, ("q", "aaa", "dev", "derived:title", None, {"a": 1}), withheld={"a": "zzz"})
    dev = DevSet.read(corpus, queries, rng=np.random.default_rng(0))
    assert dev.name == "derived"
    assert dev.score(ToyEncoder(), "RR@10")[0] == 0.5


def test_dev_queries_are_sampled_and_an_empty_split_has_no_dev_set(tmp_path):
    many = [(f"q{i}", "apple", "dev", "human", None, {"d1": 1}) for i in range(9)]
    corpus, queries = write_corpus(tmp_path), _queries(tmp_path, *many)
    dev = DevSet.read(corpus, queries, most_queries=4, rng=np.random.default_rng(0))
    assert len(dev.query_ids) == len(set(dev.query_ids)) == len(dev.qrels) == 4
    assert DevSet.read(corpus, queries, split="test", rng=np.random.default_rng(0)) is None

"""A release with a reranker: it answers in two stages, whole, and is published, kept and undone with it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from index_workspace import Workspace, load

from embedlib.errors import CorruptArtifact, MismatchError, UserError
from embedlib.index.catalog import current
from embedlib.index.release import rollback
from embedlib.index.release_parts import check_workspace
from embedlib.index.search import Searcher
from embedlib.retrieval.plan import TwoStagePlan
from embedlib.stages.publish import proven_reranking

TEXTS = {
    "a": "apple banana cherry",
    "b": "banana bread",
    "c": "cherry tart with cream",
    "d": "damson apple",
    "e": "elder banana wine",
}
PLAN = TwoStagePlan(depth=3, weight=100.0)


def longest(pairs):
    return np.array([len(text) for _, text in pairs], dtype=np.float32)


@pytest.fixture
def shop(tmp_path, toy_models, monkeypatch):
    monkeypatch.setattr("embedlib.index.second_stage.load_cross_encoder", lambda folder: longest)
    return Workspace(tmp_path / "ws")


def parts_with_reranker(shop, weight=PLAN.weight, model=None):
    return shop.reranked_parts(TEXTS, PLAN.model_copy(update={"weight": weight}), model)


def publish(shop, parts):
    return shop.publish(parts, rerank=proven_reranking(parts))


def test_the_first_hits_are_read_and_the_others_follow_them(shop):
    publish(shop, parts_with_reranker(shop))
    searcher = Searcher(shop.root, load=load)
    first = searcher.search("banana", k=5, mode="dense")
    both = searcher.search("banana", k=5)
    read = {h.doc_id for h in first[:3]}
    assert [h.doc_id for h in both[:3]] == sorted(read, key=lambda d: -len(TEXTS[d]))
    assert [h.doc_id for h in both[3:]] == [h.doc_id for h in first[3:]]
    assert {h.mode for h in both} == {"reranked"}
    scores = {h.doc_id: h.score for h in first}
    assert both[0].score == pytest.approx(scores[both[0].doc_id] + 100 * len(TEXTS[both[0].doc_id]))
    assert [h.score for h in both] == sorted((h.score for h in both), reverse=True)


def test_a_hit_has_the_same_score_whatever_is_asked_for_with_it(shop):
    publish(shop, parts_with_reranker(shop))
    searcher = Searcher(shop.root, load=load)
    one, several = searcher.search("apple", k=1), searcher.search(["banana", "apple"], k=4)[1]
    assert (one[0].doc_id, one[0].score) == (several[0].doc_id, several[0].score)


def test_it_can_be_asked_for_in_any_mode_and_left_out(shop):
    publish(shop, parts_with_reranker(shop))
    searcher = Searcher(shop.root, load=load)
    assert searcher.search("banana", mode="bm25", rerank=True)[0].mode == "reranked"
    assert searcher.search("banana", rerank=False)[0].mode == "dense"
    assert searcher.reranker().score is longest


def test_a_release_without_one_says_so(shop):
    shop.publish(shop.parts(TEXTS))
    searcher = Searcher(shop.root, load=load)
    assert searcher.reranker() is None
    with pytest.raises(UserError, match="release 1 has no reranker"):
        searcher.search("banana", rerank=True)


def test_a_depth_beyond_the_corpus_reads_all_of_it(shop):
    parts = parts_with_reranker(shop)
    shop.publish(parts, rerank=TwoStagePlan(depth=500, weight=1.0))
    assert len(Searcher(shop.root, load=load).search("banana", k=9)) == len(TEXTS)


def test_rollback_and_publishing_again_take_the_reranker_along(shop):
    plain = shop.parts(TEXTS)
    shop.publish(plain)
    parts = parts_with_reranker(shop)
    assert publish(shop, parts).number == 2
    assert publish(shop, parts).reused
    assert publish(shop, parts_with_reranker(shop, weight=7.0)).number == 3
    assert current(shop.root).rerank.weight == 7.0
    assert rollback(shop.root, 1).rerank is None
    searcher = Searcher(shop.root, load=load)
    assert searcher.search("banana")[0].mode == "dense"
    rollback(shop.root, 2)
    searcher.refresh()
    assert searcher.search("banana")[0].mode == "reranked"


def test_a_reranker_tried_with_another_model_is_not_published(shop):
    with pytest.raises(MismatchError, match="proven with another model"):
        publish(shop, parts_with_reranker(shop, model="0" * 32))


def test_a_damaged_reranker_is_found_before_it_answers(shop):
    parts = parts_with_reranker(shop)
    publish(shop, parts)
    (parts["reranker"].path / "weights").write_text("6")
    with pytest.raises(CorruptArtifact, match="reranker artifact of release 1"):
        Searcher(shop.root, load=load)
    assert any("reranker" in line for line in check_workspace(shop.root).unusable)


def test_the_release_record_says_how_it_answers(shop):
    release = publish(shop, parts_with_reranker(shop))
    record = json.loads((shop.root / "releases/1/release.json").read_text())
    assert record["rerank"] == {"depth": 3, "weight": 100.0}
    assert release.answers == "dense, first 3 re-ranked"

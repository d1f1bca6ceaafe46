"""Searches, releases, health and metrics over real HTTP."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from live_server import LiveServer

from embedlib.index.search import Searcher


def ids(response, i=0):
    assert response.status_code == 200, response.text
    return [hit["doc_id"] for hit in response.json()["results"][i]["hits"]]


def test_a_search_answers_what_the_searcher_does(server, shop):
    found = server.search("apple banana", k=3).json()
    expected = Searcher(shop.root).search("apple banana", k=3)
    assert found["release"] == 1
    assert found["mode"] == expected[0].mode
    hits = found["results"][0]["hits"]
    assert [h["doc_id"] for h in hits] == [h.doc_id for h in expected]
    assert [h["score"] for h in hits] == pytest.approx([h.score for h in expected])
    assert hits[0]["metadata"] == {"lang": "en", "good": 1}


def test_several_queries_are_answered_in_order_and_in_one_release(server):
    response = server.client.post("/search", json={"queries": ["zebra quiz", "date"], "k": 1, "mode": "bm25"})
    assert ids(response, 0) == ["d"]
    assert ids(response, 1) == ["c"]
    assert response.json()["mode"] == "bm25"


def test_text_is_a_snippet_or_whole(server):
    short = server.search("hidden melon", k=1, mode="bm25").json()["results"][0]["hits"][0]["text"]
    whole = server.search("hidden melon", k=1, mode="bm25", text="full").json()["results"][0]["hits"][0][
        "text"
    ]
    assert "hidden melon" in short
    assert len(short) < 300 < len(whole)


def test_filters_groups_and_no_hits(server):
    assert sorted(ids(server.search("banana", filters={"lang": ["en", "de"]}))) == ["a", "b", "c"]
    assert len({"a", "b"} & {*ids(server.search("banana", one_per_group=True, k=5))}) == 1
    empty = server.search("xylophone", mode="bm25")
    assert ids(empty) == []
    assert empty.json()["release"] == 1
    assert empty.json()["mode"] == "bm25"


def test_filters_that_python_takes_for_equal_are_not_served_together(server):
    """1 == True in Python, and so would be a dictionary's key made of them."""
    found = {}

    def ask(value):
        found[value] = ids(server.search("banana", filters={"good": value}))

    for _ in range(3):
        threads = [threading.Thread(target=ask, args=(value,)) for value in (1, True, "x")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert ids(server.search("banana", filters={"good": 1})) == ["a"]
        assert ids(server.search("banana", filters={"good": True})) == ["b"]


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({}, 422, "either `query` or `queries`"),
        ({"query": "a", "queries": ["a"]}, 422, "either `query` or `queries`"),
        ({"query": ""}, 422, "query"),
        ({"query": "   "}, 400, "empty"),
        ({"queries": []}, 422, "queries"),
        ({"query": "a", "k": 0}, 422, "k"),
        ({"query": "a", "k": 1001}, 422, "at most 1000"),
        ({"queries": ["a"] * 64, "k": 100}, 422, "5000 hits"),
        ({"queries": ["a"] * 65}, 422, "at most 64"),
        ({"query": "a" * 8193}, 422, "at most 8192 characters"),
        ({"query": "a", "mode": "magic"}, 400, "unknown search mode"),
        ({"query": "a", "filters": {"colour": "red"}}, 400, "colour"),
        ({"query": "a", "filters": {"lang": {"$gt": 1}}}, 422, "filters"),
        ({"query": "a", "rerank": True}, 501, "no reranker"),
        ({"query": "a", "release": 9}, 404, "no release 9"),
        ({"query": "a", "release": 10**300}, 404, "no release 1000"),
        ({"query": "a", "surprise": 1}, 422, "surprise"),
        ([1], 422, ""),
    ],
)
def test_a_request_that_cannot_be_answered_says_why(server, body, status, says):
    response = server.client.post("/search", json=body)
    assert response.status_code == status
    error = response.json()["error"]
    assert says in error["message"]
    assert error["code"] == status
    assert "/" + "tmp" not in response.text  # no place on this machine is shown


def test_a_reranker_orders_hits_anew(shop):
    def longest(pairs):
        return np.array([len(text) for _, text in pairs], dtype=np.float32)

    with LiveServer(shop.root, reranker=longest) as server:
        found = server.search("banana", rerank=True, k=2)
        assert ids(found)[0] == "e"
        assert found.json()["mode"] == "reranked"
        answer = server.client.post(
            "/v1/rerank", json={"query": "q", "documents": ["a", {"text": "abc"}, "ab"], "top_n": 2}
        ).json()
        assert [r["index"] for r in answer["results"]] == [1, 2]
        assert answer["results"][0]["relevance_score"] == 3
        assert answer["results"][0]["document"] is None
        other = server.client.post("/v1/rerank", json={"query": "q", "documents": ["a"], "model": "other"})
        assert other.status_code == 404


def test_the_live_releases_own_reranker_answers_and_follows_a_new_release(shop, monkeypatch):
    from embedlib.retrieval.plan import TwoStagePlan

    loaded = lambda folder: lambda pairs: np.array([len(text) for _, text in pairs], dtype=np.float32)  # noqa: E731
    monkeypatch.setattr("embedlib.index.second_stage.load_cross_encoder", loaded)
    with LiveServer(shop.root) as server:
        assert server.search("banana", rerank=True).status_code == 501
        plan = TwoStagePlan(depth=5, weight=100.0)
        parts = shop.reranked_parts({"a": "banana", "b": "banana banana bread"}, plan)
        shop.publish(parts, rerank=plan)
        server.service.searcher.refresh()
        found = server.search("banana")
        assert found.json()["mode"] == "reranked"
        assert ids(found) == ["b", "a"]
        assert server.search("banana", mode="dense").json()["mode"] == "dense"
        assert server.search("banana", mode="dense", rerank=True).json()["mode"] == "reranked"
        answer = server.client.post("/v1/rerank", json={"query": "q", "documents": ["a", "abc"]}).json()
        assert [r["index"] for r in answer["results"]] == [1, 0]
        assert answer["model"] == f"embedlib-{parts['reranker'].digest[:12]}"
        assert "first 5 re-ranked" in server.client.get("/releases").text


def test_reranking_without_a_reranker_is_refused(server):
    response = server.client.post("/v1/rerank", json={"query": "q", "documents": ["a"]})
    assert response.status_code == 501
    assert "serve.rerank" in response.json()["error"]["message"]


def test_a_new_release_answers_without_a_restart_and_an_earlier_one_can_be_asked(server, shop):
    shop.publish(shop.parts({"z": "zebra zebra", "y": "quiz"}))
    server.service.searcher.refresh()
    assert ids(server.search("zebra", k=1)) == ["z"]
    earlier = server.search("zebra", k=1, release=1)
    assert ids(earlier) == ["d"]
    assert earlier.json()["release"] == 1
    listed = server.client.get("/releases").json()
    assert listed["live"] == 2
    assert [(r["number"], r["live"]) for r in listed["releases"]] == [(2, True), (1, False)]


def test_health_metrics_and_the_description(server):
    server.search("banana", k=2)
    server.client.get("/nowhere/../../etc/passwd")
    assert server.client.get("/healthz").json() == {"status": "ok"}
    assert server.client.get("/readyz").json() == {"status": "ready", "release": 1}
    metrics = server.client.get("/metrics").text
    assert 'embedlib_requests_total{route="/search",status="200"} 1.0' in metrics
    assert 'embedlib_requests_total{route="other",status="404"} 1.0' in metrics
    assert "embedlib_release 1.0" in metrics
    assert 'embedlib_search_hits_sum{mode="dense"} 2.0' in metrics
    assert "passwd" not in metrics
    described = server.client.get("/openapi.json").json()
    assert {"/search", "/v1/embeddings", "/v1/rerank", "/releases", "/healthz"} <= set(described["paths"])
    assert described["components"]["schemas"]["SearchRequest"]["examples"]


def test_a_head_request_has_the_status_of_a_get_and_no_body(server):
    for path in ("/healthz", "/readyz", "/"):
        response = server.client.head(path)
        assert (response.status_code, response.content) == (200, b"")
        assert response.headers["content-length"] == server.client.get(path).headers["content-length"]
    assert server.client.head("/nowhere").status_code == 404
    assert server.client.head("/search").status_code == 405


def test_half_a_character_in_a_name_is_the_clients_mistake(server):
    head = {"Content-Type": "application/json"}
    refused = server.client.post(
        "/search", content=rb'{"query": "a", "filters": {"\ud800": 1}}', headers=head
    )
    assert refused.status_code == 400
    assert r"no document has the metadata field '\ud800'" in refused.json()["error"]["message"]

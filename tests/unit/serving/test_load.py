"""Many clients at once: whole answers through swaps, refusals when too much waits, and after them answers again."""

from __future__ import annotations

import threading
import time

from live_server import LiveServer

from embedlib.index.release import rollback


def together(count, work):
    threads = [threading.Thread(target=work, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    return threads


def test_no_answer_mixes_two_releases(server, shop):
    """The first release's documents are a to e, the second's z0 to z9, by another model."""
    owned = {1: set("abcde"), 2: {f"z{i}" for i in range(10)}}
    stop = threading.Event()
    wrong, releases = [], set()

    def ask(i):
        mode = ("dense", "bm25", "hybrid")[i % 3]
        while not stop.is_set():
            response = server.search("banana zebra", k=5, mode=mode)
            answer = response.json()
            ids = {h["doc_id"] for h in answer["results"][0]["hits"]} if response.status_code == 200 else None
            if ids is None or not ids <= owned[1 if answer["release"] == 1 else 2]:
                wrong.append(response.text)
            releases.add(answer.get("release"))

    threads = together(6, ask)
    parts = shop.parts({name: f"zebra banana {name}" for name in owned[2]}, shift=1)
    for _ in range(3):
        shop.publish(parts)
        time.sleep(0.3)
        rollback(shop.root, 1)
        time.sleep(0.3)
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert 1 in releases
    assert len(releases) > 1


def test_an_overload_is_refused_and_then_over(shop, monkeypatch):
    with LiveServer(shop.root, limits={"waiting": 2, "threads": 1, "batch": 1}) as server:
        encoder = server.service.searcher._snapshot.encoder
        go, encode = threading.Event(), encoder.encode
        monkeypatch.setattr(encoder, "encode", lambda texts: go.wait(20) and encode(texts))
        answers = []
        threads = together(10, lambda i: answers.append(server.search("banana", mode="dense")))
        end = time.monotonic() + 20
        while len(answers) < 7 and time.monotonic() < end:
            time.sleep(0.01)
        refused = list(answers)
        assert [r.status_code for r in refused] == [429] * 7  # one is searched, two wait
        assert all(int(r.headers["retry-after"]) >= 1 for r in refused)
        assert "waiting" in refused[0].json()["error"]["message"]
        assert server.client.get("/readyz").status_code == 503
        assert server.client.get("/healthz").status_code == 200
        go.set()
        for thread in threads:
            thread.join()
        assert sorted(r.status_code for r in answers) == [200] * 3 + [429] * 7
        assert server.search("banana", mode="dense").status_code == 200
        assert server.client.get("/readyz").status_code == 200


def test_an_answer_that_takes_too_long_is_given_up(shop, monkeypatch):
    with LiveServer(shop.root, limits={"answer_s": 0.3}) as server:
        encoder = server.service.searcher._snapshot.encoder
        go, encode = threading.Event(), encoder.encode
        monkeypatch.setattr(encoder, "encode", lambda texts: go.wait(20) and encode(texts))
        response = server.search("banana", mode="dense")
        assert response.status_code == 503
        assert "retry-after" in response.headers
        go.set()
        assert server.search("banana", mode="dense").status_code == 200

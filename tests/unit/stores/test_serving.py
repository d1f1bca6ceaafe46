"""A server that answers through a store: the store's release, whole, or a refusal that says so."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from index_workspace import ShiftedEncoder, Workspace, load, words
from live_server import LiveServer
from postgres import Postgres, postgresql

from embedlib.index.search import Searcher
from embedlib.index.verify import Checks
from embedlib.stores.base import VectorStore
from embedlib.stores.connect import connect
from embedlib.stores.push import PushOptions, push_release
from embedlib.stores.searcher import StoreSearcher


def slow(*kinds: str) -> list:
    return [pytest.param(kind, marks=pytest.mark.slow) for kind in kinds]


#: Longest wait for a store in these tests.
WAIT_S = 2.0


def publish(workspace: Workspace, store: VectorStore, seed: int = 0, shift: int = 0) -> dict[str, str]:
    """A release of random words, live here and in the store."""
    texts = words(40, seed=seed)
    workspace.publish(workspace.parts(texts, shift=shift))
    options = PushOptions(500, "exact", checks=Checks(encoder=ShiftedEncoder(shift)))
    push_release(workspace.root, store, "docs", options)
    return texts


@contextmanager
def served(workspace: Workspace, kind: str, address: str) -> Iterator[LiveServer]:
    """What ``embedlib serve --store`` starts."""
    store = connect(kind, address, "docs", wait_s=WAIT_S)
    try:
        searcher = StoreSearcher(workspace.root, store, load=load)
        with LiveServer(workspace.root, searcher=searcher) as server:
            yield server
    finally:
        store.close()


def until(condition, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.05)


def ranked(hits: list[dict]) -> list[tuple[float, str]]:
    """Scores and ids, those of equal score by id: the toy model's scores often are."""
    return sorted((-round(hit["score"], 5), hit["doc_id"]) for hit in hits)


def readiness(server: LiveServer) -> tuple[int, float]:
    """Status of /readyz, and the metric."""
    lines = server.client.get("/metrics").text.splitlines()
    metric = next(line for line in lines if line.startswith("embedlib_answers"))
    return server.client.get("/readyz").status_code, float(metric.split()[1])


def is_refused(answer: httpx.Response) -> bool:
    return (
        answer.status_code == 503
        and answer.headers["Retry-After"] == "1"
        and "the vector store does not answer" in answer.json()["error"]["message"]
    )


@pytest.mark.parametrize("kind", ["postgres", *slow("lancedb")])
def test_the_same_answers_as_from_files_through_cut_overs(workspace, address_of, kind):
    address = address_of(kind)
    store = connect(kind, address, "docs")
    texts = publish(workspace, store)
    with served(workspace, kind, address) as server:
        for number in (1, 2, 3):
            if number > 1:
                texts = publish(workspace, store, seed=number, shift=number)
            until(lambda: server.client.get("/readyz").json().get("release") == number)  # noqa: B023
            files = Searcher(workspace.root, load=load)
            for mode in ("dense", "hybrid", "bm25", "auto"):
                query = " ".join(list(texts.values())[number].split()[:4])
                answer = server.search(query, mode=mode, k=40).json()
                assert answer["release"] == number
                expected = [hit._asdict() for hit in files.search(query, 40, mode)]
                found = answer["results"][0]["hits"]
                assert ranked(found) == ranked(expected)[: len(found)], mode
        assert server.search("word", release=1).json()["release"] == 1
    store.close()


@pytest.mark.parametrize("kind", ["postgres", *slow("lancedb")])
def test_no_answer_mixes_two_releases_however_often_the_store_is_cut_over(workspace, address_of, kind):
    """Each release has documents and a model of its own; clients ask all the while."""
    address = address_of(kind)
    store = connect(kind, address, "docs")
    texts = {1: publish(workspace, store)}
    answers, stop = [], threading.Event()

    def ask(server: LiveServer) -> None:
        with httpx.Client(base_url=server.url, timeout=20) as client:
            while not stop.is_set():
                answers.append(
                    client.post("/search", json={"query": "word", "mode": "dense", "text": "full"})
                )

    with served(workspace, kind, address) as server:
        clients = [threading.Thread(target=ask, args=(server,)) for _ in range(3)]
        for client in clients:
            client.start()
        try:
            for number in range(2, 7):
                texts[number] = publish(workspace, store, seed=number, shift=number % 3)
        finally:
            stop.set()
            for client in clients:
                client.join()
    store.close()
    assert {answer.status_code for answer in answers} == {200}
    for answer in (a.json() for a in answers):
        hits = answer["results"][0]["hits"]
        assert len(hits) == 10
        assert all(texts[answer["release"]][hit["doc_id"]] == hit["text"] for hit in hits)
    assert len({answer.json()["release"] for answer in answers}) > 1


@pytest.mark.parametrize("kind", ["postgres", *slow("lancedb", "milvus")])
def test_a_collection_that_was_filled_anew_is_not_believed(workspace, address_of, kind, monkeypatch):
    """The store moved on by two releases before the searcher looked: its collection holds other rows."""
    monkeypatch.setattr("embedlib.stores.searcher.LOOK_S", 3600.0)
    store = connect(kind, address_of(kind), "docs")
    publish(workspace, store)
    searcher = StoreSearcher(workspace.root, store, load=load)
    for number in (2, 3):
        texts = publish(workspace, store, seed=number)
    (hit,) = searcher.search(texts["doc0007"], k=1, mode="dense")
    assert (hit.doc_id, hit.release, hit.text) == ("doc0007", 3, texts["doc0007"])
    store.close()


def test_the_vectors_of_another_model_are_never_asked(workspace, tmp_path, caplog):
    """Another workspace publishes into the same name."""
    pytest.importorskip("lancedb")
    store = connect("lancedb", str(tmp_path / "lance"), "docs")
    publish(workspace, store)
    with served(workspace, "lancedb", str(tmp_path / "lance")) as server:
        other = Workspace(tmp_path / "other")
        publish(other, store, shift=2)
        assert server.search("word", mode="dense").json()["release"] == 1  # its collection is there yet
        publish(other, store, seed=4, shift=2)
        publish(other, store, seed=5, shift=2)
        answer = server.search("word", mode="dense")
        assert answer.status_code == 503
    foreign = "holds another model than release 1 of this workspace", "release 3 is not there"
    assert any(words in caplog.text for words in foreign)  # as the store was found when it was looked at


@pytest.fixture
def own_server() -> Iterator[tuple[Postgres, str]]:
    """A PostgreSQL that may be killed, and the address of a database of it."""
    with postgresql(vectors=True) as server:
        server.create("shop")
        yield server, server.url("shop")


def test_a_killed_server_is_told_and_found_again(workspace, own_server):
    postgres, address = own_server
    store = connect("postgres", address, "docs")
    publish(workspace, store)
    store.close()
    with served(workspace, "postgres", address) as server:
        assert readiness(server) == (200, 1.0)
        before = server.search("word", mode="dense").json()
        postgres.signal(signal.SIGKILL)
        assert is_refused(server.search("word", mode="dense"))
        assert readiness(server) == (503, 0.0)
        assert server.client.get("/healthz").status_code == 200
        assert server.search("word", mode="bm25").status_code == 200  # the release's own
        postgres.start()
        until(lambda: readiness(server) == (200, 1.0))
        assert server.search("word", mode="dense").json() == before
        postgres.signal(signal.SIGKILL)
        postgres.start()  # between two questions: the first of them is answered
        assert server.search("word", mode="dense").json() == before


def test_a_frozen_server_is_waited_for_no_longer_than_allowed(workspace, own_server):
    postgres, address = own_server
    store = connect("postgres", address, "docs")
    publish(workspace, store)
    store.close()
    with served(workspace, "postgres", address) as server:
        postgres.signal(signal.SIGSTOP)
        try:
            started = time.monotonic()
            assert server.search("word", mode="dense").status_code == 503
            assert time.monotonic() - started < 4 * WAIT_S  # a look, the search, a new connection
            until(lambda: readiness(server) == (503, 0.0))
        finally:
            postgres.signal(signal.SIGCONT)
        until(lambda: readiness(server) == (200, 1.0))
        assert server.search("word", mode="dense").status_code == 200


def test_a_folder_that_is_gone_for_a_while(workspace, tmp_path):
    pytest.importorskip("lancedb")
    place = tmp_path / "lance"
    store = connect("lancedb", str(place), "docs")
    publish(workspace, store)
    with served(workspace, "lancedb", str(place)) as server:
        before = server.search("word", mode="dense").json()
        place.rename(tmp_path / "away")
        assert server.search("word", mode="dense").status_code == 503
        until(lambda: readiness(server) == (503, 0.0))
        for left in place.rglob("*") if place.exists() else ():
            assert not left.is_file()
        if place.exists():
            place.rmdir()
        (tmp_path / "away").rename(place)
        until(lambda: readiness(server) == (200, 1.0))
        assert server.search("word", mode="dense").json() == before


@pytest.mark.slow
def test_a_milvus_server_is_killed_and_started_again(workspace, tmp_path):
    pytest.importorskip("milvus_lite")
    port = free_port()
    running = milvus(tmp_path, port)
    address = f"http://127.0.0.1:{port}"
    try:
        store = connect("milvus", address, "docs")
        publish(workspace, store)
        store.close()
        with served(workspace, "milvus", address) as server:
            before = server.search("word", mode="dense").json()
            running.kill()
            running.wait(30)
            assert server.search("word", mode="dense").status_code == 503
            until(lambda: readiness(server) == (503, 0.0))
            running = milvus(tmp_path, port)
            until(lambda: readiness(server) == (200, 1.0))
            until(lambda: server.search("word", mode="dense").status_code == 200)
            assert server.search("word", mode="dense").json() == before
    finally:
        running.kill()
        running.wait(30)


def milvus(folder: Path, port: int) -> subprocess.Popen[bytes]:
    """Milvus Lite as a server on a port."""
    command = [sys.executable, "-m", "milvus_lite", "server", "--data-dir", str(folder / "data")]
    log = subprocess.DEVNULL
    running = subprocess.Popen([*command, "--port", str(port)], stdout=log, stderr=log, cwd=folder)
    until(lambda: answers(port))
    return running


def answers(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])

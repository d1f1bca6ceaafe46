"""What is refused before it is looked at: keys, names, origins, size, time, tricks with paths."""

from __future__ import annotations

import json
import socket
import threading
import time

import pytest
from live_server import LiveServer

from embedlib.errors import ServiceError, UserError
from embedlib.serving.access import BearerKey, read_key
from embedlib.serving.server import listen

KEY = "0123456789abcdef"


@pytest.fixture
def locked(shop):
    with LiveServer(shop.root, key=KEY) as server:
        yield server


def test_without_the_key_nothing_but_health_is_answered(locked):
    assert locked.search("apple").status_code == 200
    for sent in ({"Authorization": ""}, {"Authorization": f"Bearer {KEY}x"}, {"Authorization": f"Basic {KEY}"},
                 {"Authorization": f"Bearer {KEY[:-1]}"}, {"Authorization": "Bearer"}, {"Authorization": "Bearer ü".encode()}):  # fmt: skip
        for path in ("/releases", "/metrics", "/openapi.json", "/nowhere"):
            response = locked.client.get(path, headers=sent)
            assert response.status_code == 401, (path, sent)
            assert response.headers["www-authenticate"] == "Bearer"
        assert locked.client.post("/search", json={"query": "a"}, headers=sent).status_code == 401
        assert locked.client.get("/healthz", headers=sent).status_code == 200
    assert KEY not in repr(BearerKey(KEY))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "search.example"])
def test_an_address_that_others_reach_needs_a_long_key(host, monkeypatch):
    monkeypatch.delenv("SOME_KEY", raising=False)
    with pytest.raises(UserError, match="must carry a key"):
        read_key(host, "SOME_KEY")
    monkeypatch.setenv("SOME_KEY", "short")
    with pytest.raises(UserError, match="5 characters") as refused:
        read_key(host, "SOME_KEY")
    assert "short" not in str(refused.value)
    monkeypatch.setenv("SOME_KEY", KEY)
    assert read_key(host, "SOME_KEY").required


def test_loopback_needs_no_key_and_takes_one(monkeypatch):
    monkeypatch.delenv("SOME_KEY", raising=False)
    assert not read_key("127.0.0.1", "SOME_KEY").required
    monkeypatch.setenv("SOME_KEY", "short")
    assert read_key("localhost", "SOME_KEY").required


def test_another_name_for_this_address_is_refused(server):
    """A page of evil.example whose name is pointed at 127.0.0.1 sends that name."""
    assert server.client.get("/releases", headers={"Host": "evil.example"}).status_code == 403
    assert server.client.get("/releases", headers={"Host": f"localhost:{server.port}"}).status_code == 200
    assert b" 400 " in server.raw(b"GET /releases HTTP/1.1\r\n\r\n", 2)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_pages_of_other_sites_cannot_write_and_are_told_nothing(server, headers):
    response = server.client.post("/search", json={"query": "a"}, headers=headers)
    assert response.status_code == 403
    assert not [name for name in response.headers if name.startswith("access-control")]
    preflight = server.client.options("/search", headers={**headers, "Access-Control-Request-Method": "POST"})
    assert preflight.status_code in (403, 415)
    assert not [name for name in preflight.headers if name.startswith("access-control")]


def test_the_servers_own_page_may_write(server):
    assert (
        server.client.post("/search", json={"query": "a"}, headers={"Origin": server.url}).status_code == 200
    )


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_only_json_is_read(server, kind):
    """These are what a form or a script of another site can send without asking first."""
    body = json.dumps({"query": "a"})
    assert server.client.post("/search", content=body, headers={"Content-Type": kind}).status_code == 415


def test_a_huge_body_is_refused_before_it_is_read(server):
    head = b"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    assert b" 413 " in server.raw(head + b"Content-Length: 99999999999\r\n\r\n{", 5)
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    assert b" 413 " in server.raw(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 17, 5)
    assert server.search("apple").status_code == 200


@pytest.mark.parametrize("body", [b"{", b"", b"\xff\xfe", b"[" * 100_000, b'{"query": "\\ud800"}', b'{"k": 1e999, "query": "a"}'])  # fmt: skip
def test_what_is_not_json_is_refused(server, body):
    response = server.client.post("/search", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code in (400, 422)
    assert "error" in response.json()
    assert server.search("apple").status_code == 200


def test_slow_clients_are_let_go_and_hold_nobody_up(shop):
    with LiveServer(shop.root, limits={"head_s": 0.5, "body_s": 0.5}) as server:
        silent = socket.create_connection(("127.0.0.1", server.port), timeout=5)
        dripping = socket.create_connection(("127.0.0.1", server.port), timeout=5)
        begun = time.monotonic()
        head = b"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        stalled = socket.create_connection(("127.0.0.1", server.port), timeout=5)
        stalled.sendall(head + b'Content-Length: 50\r\n\r\n{"query"')
        for byte in b"GET /healthz HTT":
            dripping.sendall(bytes([byte]))
            time.sleep(0.02)
        assert server.search("apple").status_code == 200
        assert b" 408 " in stalled.recv(4096)
        assert silent.recv(10) == b""
        assert dripping.recv(10) == b""
        assert time.monotonic() - begun < 4
        for stream in (silent, dripping, stalled):
            stream.close()


def test_a_connection_that_is_used_again_is_not_cut(shop):
    with LiveServer(shop.root, limits={"head_s": 0.4}) as server:
        for _ in range(3):
            assert server.search("apple").status_code == 200
            time.sleep(0.3)


@pytest.mark.parametrize(
    "path",
    ["/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/..%2fetc%2fpasswd", "/search/..%00"],
)
def test_paths_lead_nowhere(server, path):
    found = server.raw(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode(), 5)
    assert b" 404 " in found
    assert b"root:" not in found


def test_a_port_that_is_taken_is_said_with_its_remedy(server):
    with pytest.raises(ServiceError, match="cannot listen"):
        listen("127.0.0.1", server.port)


def test_what_was_begun_is_answered_when_the_server_is_told_to_stop(shop, monkeypatch):
    with LiveServer(shop.root) as server:
        encoder = server.service.searcher._snapshot.encoder
        begun, go = threading.Event(), threading.Event()
        encode = encoder.encode

        def held(texts):
            begun.set()
            assert go.wait(20)
            return encode(texts)

        monkeypatch.setattr(encoder, "encode", held)
        answers = []
        asking = threading.Thread(target=lambda: answers.append(server.search("apple", mode="dense")))
        asking.start()
        assert begun.wait(20)
        server.server.should_exit = True
        time.sleep(0.3)
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", server.port), timeout=5)
        go.set()
        asking.join()
        assert answers[0].status_code == 200

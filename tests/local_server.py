"""A real HTTP server on 127.0.0.1 that speaks the providers' protocols, with faults on demand.

Vectors are letter counts (``tests/toys.py``), so every expected value can be worked out by hand.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from toys import LETTERS


def letter_counts(text: str, dimension: int | None = None) -> list[float]:
    """One constant component and the counts of a-z, cut to ``dimension``."""
    return [0.5, *(float(text.lower().count(c)) for c in LETTERS)][:dimension]


@dataclass
class Fault:
    """What happens instead of an answer, or to it."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    delay_s: float = 0.0
    reset: bool = False
    truncate: bool = False
    trickle_s: float = 0.0
    change: Callable[[dict[str, Any]], Any] | None = None


@dataclass
class Seen:
    """One request that arrived."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


class LocalServer:
    """``with LocalServer() as server``: ``server.url`` is the root; set ``faults`` or ``chat``.

    Attributes:
        faults: Consumed one a request, in order of arrival; None stands for a good answer.
        chat: Turns a chat request's body into (content, finish_reason).
        shuffle: Answer embeddings in reverse order, with right indices.
        max_chars: Texts longer than this are refused with 400, as OpenAI does.
        seen: Every request.
        busiest: Most requests that were in progress at one time.
    """

    def __init__(self) -> None:
        self.faults: list[Fault | None] = []
        self.chat: Callable[[dict[str, Any]], tuple[str, str]] = lambda body: ('["one", "two"]', "stop")
        self.answer_headers: dict[str, str] = {}
        self.shuffle = False
        self.max_chars: int | None = None
        self.delay_s = 0.0
        self.seen: list[Seen] = []
        self.busiest = self._busy = 0
        self.lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.owner = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def texts(self) -> list[str]:
        """Every text that arrived for embedding, in order of arrival."""
        return [t for seen in self.seen for t in seen.body.get("input", seen.body.get("texts", []))]

    def __enter__(self) -> LocalServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def arrive(self, seen: Seen) -> Fault:
        with self.lock:
            self.seen.append(seen)
            self._busy += 1
            self.busiest = max(self.busiest, self._busy)
            return (self.faults.pop(0) if self.faults else None) or Fault()

    def leave(self) -> None:
        with self.lock:
            self._busy -= 1

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if path.endswith("/chat/completions"):
            return 200, self._chat(body)
        texts = body.get("input", body.get("texts", []))
        if self.max_chars and any(len(t) > self.max_chars for t in texts):
            message = f"This model's maximum context length is {self.max_chars} tokens"
            return 400, {"error": {"message": message, "type": "invalid_request_error"}}
        if path == "/v2/embed":
            return 200, _cohere(texts, body)
        if path.endswith("/embeddings"):
            return 200, self._embeddings(texts, body)
        return 404, {"error": {"message": f"no such route: {path}"}}

    def _embeddings(self, texts: list[str], body: dict[str, Any]) -> dict[str, Any]:
        dimension = body.get("dimensions") or body.get("output_dimension")
        data = [
            {"object": "embedding", "index": i, "embedding": letter_counts(_marked(t, body), dimension)}
            for i, t in enumerate(texts)
        ]
        tokens = sum(len(t.split()) for t in texts)
        usage = (
            {"total_tokens": tokens}
            if "input_type" in body
            else {"prompt_tokens": tokens, "total_tokens": tokens}
        )
        return {"object": "list", "data": data[::-1] if self.shuffle else data, "usage": usage}

    def _chat(self, body: dict[str, Any]) -> dict[str, Any]:
        content, finish = self.chat(body)
        message = {"role": "assistant", "content": content}
        usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
        return {"choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": usage}


def _marked(text: str, body: dict[str, Any]) -> str:
    """Voyage and Cohere put a mark before queries: here a z."""
    return "z" + text if body.get("input_type") in {"query", "search_query"} else text


def _cohere(texts: list[str], body: dict[str, Any]) -> dict[str, Any]:
    vectors = [letter_counts(_marked(t, body), body.get("output_dimension")) for t in texts]
    tokens = sum(len(t.split()) for t in texts)
    meta = {"api_version": {"version": "2"}, "billed_units": {"input_tokens": tokens}}
    return {"id": "1", "embeddings": {"float": vectors}, "texts": texts, "meta": meta}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    owner: LocalServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is part of the tests, not an error worth a traceback."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: object) -> None:
        """Silent."""

    def do_POST(self) -> None:
        owner = self.server.owner
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        seen = Seen(self.path, {k.lower(): v for k, v in self.headers.items()}, json.loads(raw))
        fault = owner.arrive(seen)
        try:
            self._respond(owner, seen, fault)
        finally:
            owner.leave()

    def _respond(self, owner: LocalServer, seen: Seen, fault: Fault) -> None:
        time.sleep(fault.delay_s or owner.delay_s)
        if fault.reset:
            # SO_LINGER of zero seconds makes close() send RST instead of FIN.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        status, answer = owner.answer(seen.path, seen.body)
        if fault.status is not None:
            status, answer = (
                fault.status,
                fault.body if fault.body is not None else {"error": {"message": "fault"}},
            )
        elif fault.body is not None:
            answer = fault.body
        if fault.change:
            answer = fault.change(answer)
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self._write(status, {**owner.answer_headers, **fault.headers}, content, fault)

    def _write(self, status: int, headers: dict[str, str], content: bytes, fault: Fault) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(OSError):
            if fault.trickle_s:
                for byte in content:
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
                    time.sleep(fault.trickle_s)
            elif fault.truncate:
                self.wfile.write(content[: len(content) // 2])
                self.close_connection = True
            else:
                self.wfile.write(content)

"""A server of a toy workspace on a real socket, in a thread of the test."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import httpx
from index_workspace import load

from embedlib.cli.serving import limits_of
from embedlib.config.serving import Serve
from embedlib.index.search import Searcher
from embedlib.serving.access import BearerKey, HostNames
from embedlib.serving.app import create_app
from embedlib.serving.server import Server, listen
from embedlib.serving.service import Reranker, Service


class LiveServer:
    """``with LiveServer(root) as server``: ``server.client`` asks it."""

    def __init__(
        self,
        root: Path,
        *,
        key: str = "",
        limits: Mapping[str, float] | None = None,
        reranker=None,
        log=None,
        searcher=None,
    ) -> None:
        self.limits = replace(limits_of(Serve()), **(limits or {}))
        rerank = Reranker("toy-reranker", reranker) if reranker else None
        self.service = Service(searcher or Searcher(root, load=load), self.limits, rerank, log)
        app = create_app(self.service, key=BearerKey(key), names=HostNames())
        self._socket = listen("127.0.0.1", 0)
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.client = httpx.Client(base_url=self.url, headers=headers, timeout=20)
        self._started = threading.Event()
        self.server = Server(app, self._started.set)
        self._thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self._socket]})

    def __enter__(self) -> LiveServer:
        self._thread.start()
        assert self._started.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive()

    def search(self, query: str, **options) -> httpx.Response:
        return self.client.post("/search", json={"query": query, **options})

    def raw(self, data: bytes, wait_s: float = 10.0) -> bytes:
        """What comes back for bytes as they are, until the server closes or nothing more comes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait_s) as stream:
            stream.sendall(data)
            found = b""
            try:
                while block := stream.recv(65536):
                    found += block
            except (TimeoutError, ConnectionResetError):
                pass
            return found

"""A server process: from a workspace to an open port, until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from typing import cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from embedlib.errors import ServiceError
from embedlib.serving.guard import Guard

logger = logging.getLogger(__name__)


class TimedProtocol(H11Protocol):
    """Uvicorn's HTTP protocol that closes connections on which no whole request head arrives in time.

    Uvicorn itself waits for ever for the first request of a connection, and for the rest of a head.
    """

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first head."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._head_arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Wait for the next head as soon as a request is answered."""
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self._head_arrived()
        elif self.cycle is None or self.cycle.response_complete:
            self._await_head()

    def _await_head(self) -> None:
        if self._head_timer is None:
            head_s = cast(Guard, self.config.app).limits.head_s
            self._head_timer = self.loop.call_later(head_s, self.timeout_keep_alive_handler)

    def _head_arrived(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any free one.

    Raises:
        ServiceError: The address or the port cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((host, port))
        opened.listen(2048)
    except OSError as error:
        opened.close()
        raise ServiceError(
            f"cannot listen on {host} port {port}",
            found=error.strerror or str(error),
            remedy="choose another with --port; 0 takes any that is free",
        ) from error
    return opened


class Server(uvicorn.Server):
    """Uvicorn's server with the application's time limits, that says when it answers."""

    def __init__(self, app: Guard, started: Callable[[], object]) -> None:
        self._when_started, limits = started, app.limits
        config = uvicorn.Config(
            app,
            http=TimedProtocol,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=limits.connections,
            timeout_graceful_shutdown=int(limits.answer_s + limits.body_s) + 1,
        )
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer (``uvicorn.Server``)."""
        await super().startup(sockets)
        self._when_started()


def serve(app: Guard, opened: socket.socket, started: Callable[[], object]) -> None:
    """Answer on a socket until SIGTERM or SIGINT; what was begun is finished first."""
    # uvicorn raises the signal anew when it has stopped: a stop that was asked for is no failure
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        Server(app, started).run(sockets=[opened])
    finally:
        signal.signal(signal.SIGTERM, before)

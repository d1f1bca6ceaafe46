"""Servers that only this machine's own programs and pages may use.

A server on loopback answers every page in the browser of whoever runs it. A page of another origin
must not create work on it, nor read what it knows: neither by a request that a browser sends
without asking (a form, a body without a type), nor through a WebSocket, nor under a name of its own
that resolves to loopback (DNS rebinding).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from embedlib.process import module_command

HOST = "127.0.0.1"
NAMES = frozenset({"localhost", HOST, "::1"})

#: Images come from the server itself, so that text on a page cannot tell another server that it was read;
#: no other page puts this one in a frame, to have its buttons clicked.
POLICY = b"img-src 'self' data: blob:; frame-ancestors 'self'"

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def is_loopback(url: str) -> bool:
    """Whether a server's address is this machine's own.

    >>> is_loopback("http://127.0.0.1:4200/api"), is_loopback("http://prefect.lan/api")
    (True, False)
    """
    return urlsplit(url).hostname in NAMES


def server_command(port: int, *options: str) -> list[str]:
    """Start a Prefect server behind ``LoopbackOnly``."""
    place = ["--host", HOST, "--port", str(port), "--lifespan", "on", *options]
    return module_command("uvicorn", "--factory", "flows.loopback_server:create_app", *place)


def own_origins(port: int) -> list[str]:
    """The origins of a server's own pages."""
    return [f"http://localhost:{port}", f"http://{HOST}:{port}"]


class LoopbackOnly:
    """An ASGI application that refuses what a page of another origin, or under another name, asks.

    Args:
        app: The application.
    """

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or hand on."""
        if scope["type"] not in {"http", "websocket"}:
            return await self.app(scope, receive, send)
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        reason = refusal(headers.get(b"host", ""), headers.get(b"origin"))
        if reason:
            return await _refuse(scope["type"], reason, receive, send)
        return await self.app(scope, receive, _with_policy(send))


def refusal(host: str, origin: str | None) -> str:
    """Why a request is refused; empty where it is not.

    Args:
        host: Its ``Host`` header.
        origin: Its ``Origin`` header, which every browser sends with writes and WebSockets.

    >>> refusal("127.0.0.1:4200", "http://localhost:4200")
    ''
    >>> refusal("127.0.0.1:4200", "http://127.0.0.1:8000")
    "a page of 'http://127.0.0.1:8000' may not use this server"
    >>> refusal("rebound.example:4200", None)
    "this server is not called 'rebound.example:4200'"
    """
    name, port = _name_and_port(f"//{host}")
    if name not in NAMES:
        return f"this server is not called {host!r}"
    if origin is not None:
        other, other_port = _name_and_port(origin)
        if other not in NAMES or other_port != port:
            return f"a page of {origin!r} may not use this server"
    return ""


def _name_and_port(url: str) -> tuple[str | None, int | None]:
    try:
        parts = urlsplit(url)
        return parts.hostname, parts.port
    except ValueError:
        return None, None


async def _refuse(kind: str, reason: str, receive: Receive, send: Send) -> None:
    if kind == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": reason[:120]})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": reason.encode()})


def _with_policy(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (b"content-security-policy", POLICY)]
        await send(message)

    return sending

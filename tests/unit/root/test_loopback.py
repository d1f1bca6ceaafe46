"""What a page of another origin asks of a server on loopback is refused before the server sees it."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from embedlib.loopback import LoopbackOnly

OWN = "http://127.0.0.1:4200"
FOREIGN = [
    "http://evil.example",
    "http://evil.example:4200",
    "http://127.0.0.1:8000",
    "http://127.0.0.1.evil.example:4200",
    "https://localhost",
    "http://[::1",
    "null",
    "",
]


def asked_over_http(headers: dict[str, str], method: str = "POST") -> tuple[int, bool]:
    """Status of the answer, and whether the application was asked."""
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=LoopbackOnly(app))
        async with httpx.AsyncClient(transport=transport, base_url=OWN) as client:
            return await client.request(method, "/api/flows/", headers=headers, content=b"{}")

    return asyncio.run(ask()).status_code, bool(seen)


def asked_over_websocket(headers: dict[str, str]) -> tuple[list[str], bool]:
    """Kinds of messages that came back, and whether the application was asked."""
    seen, sent = [], []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["path"])
        await send({"type": "websocket.accept"})

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    pairs = [(k.encode(), v.encode()) for k, v in {"host": "127.0.0.1:4200", **headers}.items()]
    scope = {"type": "websocket", "path": "/api/events/in", "headers": pairs}
    asyncio.run(LoopbackOnly(app)(scope, receive, send))
    return sent, bool(seen)


@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize("method", ["POST", "GET", "OPTIONS", "DELETE"])
def test_a_request_of_another_origin_is_refused(origin, method):
    assert asked_over_http({"origin": origin}, method) == (403, False)


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_websocket_of_another_origin_is_refused(origin):
    assert asked_over_websocket({"origin": origin}) == (["websocket.close"], False)


@pytest.mark.parametrize(
    "host", ["rebound.example:4200", "10.evil.example:4200", "evil@127.0.0.1.example", ""]
)
def test_a_name_that_resolves_to_loopback_is_refused(host):
    assert asked_over_http({"host": host}) == (403, False)
    assert asked_over_websocket({"host": host}) == (["websocket.close"], False)


@pytest.mark.parametrize("origin", [OWN, "http://localhost:4200", None])
def test_own_pages_and_programs_are_served(origin):
    headers = {"origin": origin} if origin else {}
    assert asked_over_http(headers) == (200, True)
    assert asked_over_websocket(headers) == (["websocket.accept"], True)


def test_pages_load_no_images_from_elsewhere_and_stand_in_no_frame():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"y")]})
        await send({"type": "http.response.body", "body": b""})

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=LoopbackOnly(app))) as client:
            return await client.get(OWN)

    answer = asyncio.run(ask())
    assert answer.headers["x"] == "y"
    assert answer.headers["content-security-policy"] == "img-src 'self' data: blob:; frame-ancestors 'self'"

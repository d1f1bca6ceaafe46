"""What every request passes before it is looked at: names, origin, key, size, time; and is counted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from embedlib.serving.access import BearerKey, HostNames
from embedlib.serving.limits import RequestLimits
from embedlib.serving.metrics import Metrics
from embedlib.serving.refusals import Refused, error_response

#: Answered without a key: whether the server lives, and the page that asks for the key.
OPEN = ("/healthz", "/readyz", "/")
#: Sent with every answer; no CORS header is: other sites' pages can read nothing.
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)


class Guard:
    """Outermost ASGI layer.

    Args:
        app: What answers.
        names: Names that a request may be addressed to.
        key: The bearer key.
        limits: Size and time of bodies.
        metrics: Counts requests and their seconds.
        routes: Paths that are counted by name; all others are counted together.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        names: HostNames,
        key: BearerKey,
        limits: RequestLimits,
        metrics: Metrics,
        routes: frozenset[str],
    ) -> None:
        self.app, self.names, self.key = app, names, key
        self.limits, self.metrics, self.routes = limits, metrics, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse or pass on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message["headers"], *HEADERS]}
            await send(message)

        try:
            self._check(scope)
            body = await self._body(scope, receive)
            method = "GET" if scope["method"] == "HEAD" else scope["method"]  # the server leaves the body out
            await self.app({**scope, "method": method}, _replay(body, receive), answer)
        except Refused as refused:
            # what is left of the body is not read: the connection cannot go on
            headers = {**refused.headers, "Connection": "close"}
            await error_response(refused.status, refused.message, headers)(scope, receive, answer)
        finally:
            route = scope["path"] if scope["path"] in self.routes else "other"
            self.metrics.requests.labels(route, str(status)).inc()
            self.metrics.seconds.labels(route).observe(time.perf_counter() - started)

    def _check(self, scope: Scope) -> None:
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        if not self.names.admits(host):
            raise Refused(403, f"this server does not go by the name {host[:100]!r} (serve.allowed_hosts)")
        if scope["method"] not in ("GET", "HEAD"):
            _check_origin(headers, host)
            kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
            if kind != b"application/json":
                raise Refused(415, "Content-Type must be application/json")
        if scope["path"] not in OPEN and not self.key.admits(headers.get(b"authorization", b"")):
            raise Refused(401, "send the key as `Authorization: Bearer …`")

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if length.isdigit() and int(length) > self.limits.body_bytes:
            raise Refused(413, f"a body may have {self.limits.body_bytes} bytes; this one has {int(length)}")
        try:
            async with asyncio.timeout(self.limits.body_s):
                return await self._read(receive)
        except TimeoutError:
            raise Refused(408, f"the body did not arrive within {self.limits.body_s:g} s") from None

    async def _read(self, receive: Receive) -> bytes:
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Refused(408, "the client went away")
            body += message.get("body", b"")
            if len(body) > self.limits.body_bytes:
                raise Refused(413, f"a body may have {self.limits.body_bytes} bytes")
            if not message.get("more_body", False):
                return bytes(body)


def _check_origin(headers: Mapping[bytes, bytes], host: str) -> None:
    """A page of another site may not write: browsers name the page's site with every such request."""
    origin = headers.get(b"origin", b"").decode("latin-1")
    site = headers.get(b"sec-fetch-site", b"same-origin")
    other_origin = origin and origin.partition("://")[2].lower() != host.lower()
    if other_origin or site not in (b"same-origin", b"none"):
        raise Refused(403, "requests from other sites' pages are not answered")


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body once, then what the connection says."""
    sent = False

    async def again() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again

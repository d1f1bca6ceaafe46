"""Requests that are not answered: one shape for every error, and the status of each kind."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from embedlib.errors import EmbedlibError, ReleaseError, ServiceError, UserError

logger = logging.getLogger(__name__)

#: Types of errors that are neither an invalid request nor the server's failure.
KINDS = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    429: "rate_limit_error",
    501: "not_configured_error",
}

NO_RERANKER = "there is no reranker: start the server with serve.rerank, or publish one (`embedlib rerank`)"
STORE_AWAY = "the vector store does not answer; try again, the server's log says why"


class Refused(Exception):
    """A request that is not answered, and why.

    Args:
        status: HTTP status.
        message: What is wrong and what to do, for the client's author.
        retry_after_s: When to try again, for what passes.
    """

    def __init__(self, status: int, message: str, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.retry_after_s = status, message, retry_after_s

    @property
    def headers(self) -> dict[str, str]:
        """Headers that belong to the status."""
        if self.status == 401:
            return {"WWW-Authenticate": "Bearer"}
        return {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}


def error_response(
    status: int, message: str, headers: dict[str, str] | None = None, param: str | None = None
) -> JSONResponse:
    """An error in OpenAI's shape, which its clients can read."""
    kind = KINDS.get(status, "invalid_request_error" if status < 500 else "server_error")
    said, place = (text and text.encode(errors="backslashreplace").decode() for text in (message, param))
    error = {"message": said, "type": kind, "param": place, "code": status}
    return JSONResponse({"error": error}, status, headers)


def at_most(name: str, most: int, of_what: str, found: int) -> None:
    """Refuse a request that asks for more than there may be."""
    if found > most:
        raise Refused(422, f"{name}: at most {most} {of_what}; found {found}")


async def _refused(request: Request, error: Any) -> JSONResponse:
    return error_response(error.status, error.message, error.headers)


async def _invalid(request: Request, error: Any) -> JSONResponse:
    """What FastAPI found wrong with a body."""
    return error_response(422, *_first_problem(error.errors()))


async def _http_error(request: Request, error: Any) -> JSONResponse:
    """Starlette's own: no such path, or another method."""
    return error_response(error.status_code, str(error.detail), dict(error.headers or {}))


async def _typed_error(request: Request, error: Any) -> JSONResponse:
    """The client's mistake is told; what went wrong here is in the log."""
    if isinstance(error, UserError):
        return error_response(400, _for_clients(error))
    logger.error("%s %s: %s", request.method, request.url.path, error)
    if isinstance(error, ServiceError):
        return error_response(503, STORE_AWAY, {"Retry-After": "1"})
    if isinstance(error, ReleaseError):
        return error_response(503, "the release cannot be read; the server's log says why")
    return await _unexpected(request, error)


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    return error_response(500, "the server failed; its log says why")


#: The answer to each kind of error.
ANSWERS: dict[Any, Any] = {
    Refused: _refused,
    RequestValidationError: _invalid,
    HTTPException: _http_error,
    EmbedlibError: _typed_error,
    Exception: _unexpected,
}


def _first_problem(problems: Sequence[Any]) -> tuple[str, None, str]:
    first = problems[0]
    place = ".".join(str(part) for part in first["loc"] if part != "body")
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{place}: {first['msg']}{more}" if place else f"{first['msg']}{more}", None, place


def _for_clients(error: EmbedlibError) -> str:
    """The message without places on this machine."""
    parts = [error.what, *(f"{n}: {v}" for n in ("expected", "found") if (v := getattr(error, n)))]
    return "; ".join(parts)

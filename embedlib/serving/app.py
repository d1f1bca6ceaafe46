"""The application: routes, errors, health and metrics, behind the guard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from starlette.responses import JSONResponse, Response

from embedlib.serving.access import BearerKey, HostNames
from embedlib.serving.guard import Guard
from embedlib.serving.openai import model_routes
from embedlib.serving.page import page_routes
from embedlib.serving.refusals import STORE_AWAY, answer_errors
from embedlib.serving.search import search_routes
from embedlib.serving.service import Service

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


def create_app(service: Service, *, key: BearerKey, names: HostNames) -> Guard:
    """Everything that answers over HTTP.

    Args:
        service: What answers.
        key: What requests must carry.
        names: The names they may be addressed to.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        watch = asyncio.create_task(service.watch())
        yield
        watch.cancel()
        service.close()

    # the documentation pages of FastAPI load scripts from elsewhere: /openapi.json alone is served
    app = FastAPI(
        title="embedlib",
        version=version("embedlib"),
        summary="The live release: search, embeddings, reranking.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    answer_errors(app)
    app.include_router(search_routes(service))
    app.include_router(model_routes(service))
    app.include_router(page_routes(service))

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    @app.get("/readyz", responses={503: {"description": "The queue is full, or the vector store is away"}})
    async def readyz() -> JSONResponse:
        """A release is open, there is room in the queue, and the vector store, if one is asked, answers."""
        if service.searcher.problem is not None:
            return JSONResponse({"status": STORE_AWAY}, 503)
        ready = {"status": "ready", "release": service.searcher.release.number}
        return JSONResponse(ready) if service.has_room else JSONResponse({"status": "busy"}, 503)

    @app.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Prometheus' text format."""
        return Response(service.metrics.render(), media_type=PROMETHEUS)

    routes = frozenset(app.openapi()["paths"]) | {"/", "/openapi.json"}
    return Guard(app, names=names, key=key, limits=service.limits, metrics=service.metrics, routes=routes)

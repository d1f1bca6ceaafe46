"""The application: routes, errors, health and metrics, behind the guard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import APIRouter, FastAPI
from starlette.responses import JSONResponse, Response

from embedlib.serving import openai, page, search
from embedlib.serving.access import BearerKey, HostNames
from embedlib.serving.guard import Guard
from embedlib.serving.refusals import ANSWERS, STORE_AWAY
from embedlib.serving.service import OfApp, Service

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"

health = APIRouter()


@health.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@health.get("/readyz", responses={503: {"description": "The queue is full, or the vector store is away"}})
async def readyz(service: OfApp) -> JSONResponse:
    """A release is open, there is room in the queue, and the vector store, if one is asked, answers."""
    if service.searcher.problem is not None:
        return JSONResponse({"status": STORE_AWAY}, 503)
    ready = {"status": "ready", "release": service.searcher.release.number}
    return JSONResponse(ready) if service.has_room else JSONResponse({"status": "busy"}, 503)


@health.get("/metrics", response_class=Response)
async def metrics(service: OfApp) -> Response:
    """Prometheus' text format."""
    return Response(service.metrics.render(), media_type=PROMETHEUS)


@asynccontextmanager
async def _serving(app: FastAPI) -> AsyncIterator[None]:
    """Watch what is live while the application runs."""
    watch = asyncio.create_task(app.state.service.watch())
    yield
    watch.cancel()
    app.state.service.close()


def create_app(service: Service, *, key: BearerKey, names: HostNames) -> Guard:
    """Everything that answers over HTTP."""
    # the documentation pages of FastAPI load scripts from elsewhere: /openapi.json alone is served
    app = FastAPI(
        title="embedlib",
        version=version("embedlib"),
        summary="The live release: search, embeddings, reranking.",
        docs_url=None,
        redoc_url=None,
        lifespan=_serving,
        exception_handlers=ANSWERS,
    )
    app.state.service = service
    for router in (search.router, openai.router, page.router, health):
        app.include_router(router)
    routes = frozenset(app.openapi()["paths"]) | {"/", "/openapi.json"}
    return Guard(app, names=names, key=key, limits=service.limits, metrics=service.metrics, routes=routes)

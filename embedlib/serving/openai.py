"""``POST /v1/embeddings`` and ``POST /v1/rerank``, in the shapes that clients already speak."""

from __future__ import annotations

import base64
import uuid

import numpy as np
from fastapi import APIRouter
from starlette.responses import JSONResponse

from embedlib.contracts import Floats
from embedlib.index.catalog import Release
from embedlib.serving.limits import RequestLimits
from embedlib.serving.refusals import NO_RERANKER, Refused, at_most
from embedlib.serving.schemas import (
    EmbeddingsAnswer,
    EmbeddingsRequest,
    RerankAnswer,
    Reranked,
    RerankRequest,
)
from embedlib.serving.service import OfApp

router = APIRouter(prefix="/v1")


@router.post("/embeddings", response_model=EmbeddingsAnswer)
async def embeddings(request: EmbeddingsRequest, service: OfApp) -> JSONResponse:
    """Vectors by the live release's model, with its query or document prompt."""
    texts = [request.input] if isinstance(request.input, str) else request.input
    _check_texts(texts, service.limits, "input")
    _require_model(request.model, service.searcher.release)
    embedded = await service.embed(texts, request.input_type, request.dimensions)
    _require_model(request.model, embedded.release)  # a new release may have come in between
    vectors = _encoded(embedded.vectors, request.encoding_format)
    data = [{"object": "embedding", "index": i, "embedding": v} for i, v in enumerate(vectors)]
    usage = {"prompt_tokens": embedded.tokens, "total_tokens": embedded.tokens}
    answer = {
        "object": "list",
        "data": data,
        "model": model_name(embedded.release),
        "usage": usage,
        "release": embedded.release.number,
    }
    return JSONResponse(answer)


@router.post("/rerank", responses={501: {"description": "The server has no reranker"}})
async def rerank(request: RerankRequest, service: OfApp) -> RerankAnswer:
    """Documents ordered by how well they answer a query: by the server's, else the release's reranker."""
    reranker = service.reranker
    if reranker is None:
        raise Refused(501, NO_RERANKER)
    if request.model not in (None, reranker.name):
        raise Refused(404, f"model: {reranker.name!r} reranks here, not {request.model!r}")
    texts = [d if isinstance(d, str) else d["text"] for d in request.documents]
    _check_texts(texts, service.limits, "documents")
    at_most("query", service.limits.query_chars, "characters", len(request.query))
    scores = await service.rerank(request.query, texts)
    order = np.argsort(-scores, kind="stable")[: request.top_n]
    results = [
        Reranked(
            index=int(i),
            relevance_score=float(scores[i]),
            document={"text": texts[i]} if request.return_documents else None,
        )
        for i in order
    ]
    return RerankAnswer(id=str(uuid.uuid4()), model=reranker.name, results=results)


def model_name(release: Release) -> str:
    """The name that a release's model is asked for by: its content's, whatever release it is in."""
    return f"embedlib-{release.model.digest[:12]}"


def _require_model(asked: str, release: Release) -> None:
    if asked not in ("embedlib", model_name(release)):
        raise Refused(
            404,
            f"model: {model_name(release)!r} is live, not {asked[:100]!r}; its vectors do not go with those "
            "of another model (`embedlib` takes whatever is live)",
        )


def _check_texts(texts: list[str], limits: RequestLimits, name: str) -> None:
    if not texts:
        raise Refused(422, f"{name}: at least one text")
    at_most(name, limits.texts, "texts", len(texts))
    at_most(name, limits.text_chars, "characters a text", max(map(len, texts)))


def _encoded(vectors: Floats, encoding: str) -> list[object]:
    if encoding == "base64":
        return [base64.b64encode(v.astype("<f4").tobytes()).decode() for v in vectors]
    return list(vectors.tolist())

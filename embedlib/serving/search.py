"""``POST /search`` and ``GET /releases``."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import JSONResponse

from embedlib.index import catalog
from embedlib.index.answer import Answer, SearchHit
from embedlib.serving.refusals import NO_RERANKER, Refused, at_most
from embedlib.serving.schemas import Hit, ReleaseRow, Releases, SearchAnswer, SearchRequest
from embedlib.serving.service import OfApp, SearchKind, Service, frozen

router = APIRouter()


@router.post("/search", response_model=SearchAnswer)
async def search(request: SearchRequest, service: OfApp) -> JSONResponse:
    """Documents for a query, or for each of several, from the live release."""
    queries = check_search(request, service)
    if request.release is not None and request.release not in catalog.numbers(service.root):
        raise Refused(404, f"there is no release {request.release}; GET /releases lists those that are kept")
    same = {"k", "mode", "rerank", "one_per_group", "release"}
    kind = SearchKind(filters=frozen(request.filters), **request.model_dump(include=same))
    answer = await service.search(queries, kind)
    if request.release is None:
        service.note_served(queries, answer)
    return JSONResponse(as_json(queries, answer, full=request.text == "full"))


@router.get("/releases", response_model=Releases)
def releases(service: OfApp) -> Releases:
    """The releases that are kept, newest first; the one that answers now is marked."""
    live = service.searcher.release.number
    rows = [
        ReleaseRow(
            number=release.number,
            live=release.number == live,
            created_at=release.created_at,
            search=release.answers,
            **{name: release.parts[name].digest[:12] for name in ("model", "index", "corpus")},
        )
        for release in catalog.releases(service.root)
    ]
    return Releases(live=live, releases=rows)


def check_search(request: SearchRequest, service: Service) -> list[str]:
    """The queries of a request that keeps to the limits.

    Raises:
        Refused: It does not, or wants a reranker where there is none.
    """
    limits = service.limits
    if (request.query is None) == (request.queries is None):
        raise Refused(422, "give either `query` or `queries`")
    queries = [request.query] if request.query is not None else request.queries or []
    at_most("queries", limits.queries, "in one request", len(queries))
    at_most("query", limits.query_chars, "characters", max(map(len, queries)))
    if request.k > limits.k or request.k * len(queries) > limits.hits:
        raise Refused(
            422, f"k: at most {limits.k}, and {limits.hits} hits over all queries; found {request.k}"
        )
    if request.filters and not all(map(_filterable, request.filters.values())):
        raise Refused(422, "filters: each value is a string, number, true, false, null, or a list of these")
    if request.rerank and service.reranker is None:
        raise Refused(501, NO_RERANKER)
    return queries


def as_json(queries: list[str], answer: Answer, *, full: bool) -> dict[str, object]:
    """A ``SearchAnswer`` as JSON values, unchecked: checking a thousand hits costs more than finding them."""
    results = [
        {"query": query, "hits": [_hit(hit, full) for hit in hits]}
        for query, hits in zip(queries, answer.hits, strict=True)
    ]
    return {"release": answer.release, "mode": answer.mode, "results": results}


_FIELDS = tuple(Hit.model_fields)


def _hit(hit: SearchHit, full: bool) -> dict[str, object]:
    found: dict[str, object] = {name: getattr(hit, name) for name in _FIELDS}
    return found if full else {**found, "text": hit.snippet}


def _filterable(value: object) -> bool:
    values = value if isinstance(value, list) else [value]
    return all(v is None or isinstance(v, str | int | float | bool) for v in values)

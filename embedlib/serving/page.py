"""The search page at ``/`` and ``POST /marks``, which it writes to."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files

from fastapi import APIRouter
from starlette.responses import HTMLResponse

from embedlib.corpus.clean import clean_title
from embedlib.serving.refusals import Refused, at_most
from embedlib.serving.schemas import Mark, Marked
from embedlib.serving.service import OfApp

MAX_ID_CHARS = 2_048
HTML = files("embedlib.serving").joinpath("page.html").read_text(encoding="utf-8")

router = APIRouter()


def content_policy(html: str) -> str:
    """The page's own script and style run, known by their digests, and nothing else does."""
    return (
        f"default-src 'none'; script-src {_digests(html, 'script')}; style-src {_digests(html, 'style')}; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _digests(html: str, tag: str) -> str:
    found = re.findall(rf"<{tag}>(.*?)</{tag}>", html, flags=re.DOTALL)
    sha256 = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in found)
    return " ".join(f"'sha256-{digest}'" for digest in sha256)


HEADERS = {"Content-Security-Policy": content_policy(HTML), "X-Frame-Options": "DENY"}


@router.get("/", response_class=HTMLResponse, include_in_schema=False)
async def page() -> HTMLResponse:
    """The page."""
    return HTMLResponse(HTML, headers=HEADERS)


@router.post("/marks", status_code=201)
def mark(request: Mark, service: OfApp) -> Marked:
    """Mark a result as right or wrong for a query; the next training uses it."""
    limit = service.limits.query_chars
    if len(request.query) > limit or not clean_title(request.query):  # as who reads the marks has it
        raise Refused(422, f"query: 1 to {limit} characters; found {len(request.query)}")
    at_most("doc_id", MAX_ID_CHARS, "characters", len(request.doc_id))
    service.marks.add(request.query, request.doc_id, request.relevant, request.release)
    service.metrics.marks.labels(str(int(request.relevant))).inc()
    return Marked(relevance=int(request.relevant))

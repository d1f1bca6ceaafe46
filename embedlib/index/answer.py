"""What a search answers: rows of a release as documents with their snippets."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from embedlib.index.snapshot import Snapshot
from embedlib.retrieval.hits import NO_ROW, Hits, keep_hits


class SearchHit(NamedTuple):
    """One document found, best first.

    ``score`` is the inner product (dense), the BM25 score, the fused score (hybrid), the cross-encoder's,
    or that of both stages; only scores of one mode can be compared. ``group_id`` names what the document
    is a part of, ``release`` the release that answered, ``mode`` how: ``dense``, ``bm25``, ``hybrid``,
    or ``reranked`` by a cross-encoder. ``text`` is the whole document, ``snippet`` the part of it that
    shows why it was found.
    """

    rank: int
    doc_id: str
    score: float
    title: str
    snippet: str
    source: str
    group_id: str
    metadata: Mapping[str, Any]
    release: int
    mode: str
    text: str


class Answer(NamedTuple):
    """The hits of each query, all from one release and searched in one mode."""

    release: int
    mode: str
    hits: list[list[SearchHit]]


def as_hits(snapshot: Snapshot, query: str, hits: Hits, i: int, k: int, mode: str) -> list[SearchHit]:
    """The first k hits of the i-th query as documents."""
    found = []
    for rank, (row, score) in enumerate(zip(hits.rows[i, :k], hits.scores[i, :k], strict=True), start=1):
        if row == NO_ROW:
            break
        document = snapshot.documents.get(int(row))
        found.append(
            SearchHit(
                rank=rank,
                doc_id=document.doc_id,
                score=float(score),
                title=document.title,
                snippet=snippet(document.text, query),
                source=document.source,
                group_id=document.group_id,
                metadata=json.loads(document.metadata or "{}"),
                release=snapshot.number,
                mode=mode,
                text=document.text,
            )
        )
    return found


def first_of_groups(snapshot: Snapshot, hits: Hits) -> Hits:
    """Hits without those whose group stands higher up already."""
    keep = np.zeros(hits.rows.shape, dtype=bool)
    for i, line in enumerate(hits.rows):
        places = np.flatnonzero(line != NO_ROW)
        _, first = np.unique(snapshot.documents.groups[line[places]], return_index=True)
        keep[i, places[first]] = True
    return keep_hits(hits, keep)


#: Characters of a document that are looked through.
SCANNED = 20_000
_WORD = re.compile(r"\w+")


def snippet(text: str, query: str, width: int = 240) -> str:
    """The window of about ``width`` characters that holds the most distinct query words.

    >>> snippet("One two three. Four five six.", "five", width=16)
    '… Four five six.'
    >>> snippet("short", "nothing in common")
    'short'
    """
    text = " ".join(text[:SCANNED].split())
    if len(text) <= width:
        return text
    terms = {word for word in _WORD.findall(query[:SCANNED].lower()) if len(word) > 1}
    places = [(m.start(), m.group().lower()) for m in _WORD.finditer(text) if m.group().lower() in terms]
    start = _best_start(places, width)
    start = max(0, min(start, len(text) - width))
    return _cut(text, start, width)


def _best_start(places: list[tuple[int, str]], width: int) -> int:
    """Where the window with most distinct words begins, a little before its first word."""
    best, best_count, right = 0, 0, 0
    inside: dict[str, int] = {}
    for left, (start, word) in enumerate(places):
        while right < len(places) and places[right][0] < start + width:
            inside[places[right][1]] = inside.get(places[right][1], 0) + 1
            right += 1
        if len(inside) > best_count:
            best, best_count = places[left][0], len(inside)
        inside[word] -= 1
        if not inside[word]:
            del inside[word]
    return max(0, best - width // 8)


def _cut(text: str, start: int, width: int) -> str:
    """Cut at word boundaries, with an ellipsis where something is left out."""
    end = start + width
    if start:
        start = text.find(" ", start) + 1 or start
    if end < len(text):
        end = text.rfind(" ", start, end)
        end = end if end > start else start + width
    head, tail = ("… " if start else ""), (" …" if end < len(text) else "")
    return f"{head}{text[start:end].strip()}{tail}"

"""What a search answers: rows of a release as documents with their snippets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from embedlib.index.snapshot import Snapshot
from embedlib.index.snippets import snippet
from embedlib.retrieval.hits import NO_ROW, Hits


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
    """Hits without those whose group stands higher up already; the holes are closed."""
    rows, scores = hits.rows.copy(), hits.scores.copy()
    for i, line in enumerate(hits.rows):
        seen: set[str] = set()
        keep = []
        for place, row in enumerate(line):
            group = "" if row == NO_ROW else snapshot.documents.get(int(row)).group_id
            if row != NO_ROW and (not group or group not in seen):
                seen.add(group)
                keep.append(place)
        rows[i], scores[i] = NO_ROW, float("-inf")
        rows[i, : len(keep)], scores[i, : len(keep)] = line[keep], hits.scores[i, keep]
    return Hits(rows, scores)

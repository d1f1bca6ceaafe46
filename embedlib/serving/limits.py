"""How much one client may ask, and how much may wait."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RequestLimits:
    """Bounds of requests, of time, and of the queue.

    The ``serve`` options give all that has no default here.

    Args:
        body_bytes: Size of a request's body.
        head_s: Time in which a request line and its headers have to arrive.
        body_s: Time in which a body has to arrive.
        answer_s: Time from the arrival of a request to its answer.
        queries: Queries in one search.
        query_chars: Characters of a query.
        texts: Texts in one request for embeddings, and documents in one for reranking.
        k: Hits per query.
        hits: Hits in one answer, over all its queries.
        waiting: Queries, or texts, that wait to be served; more are refused with 429.
        threads: Batches served at once.
        connections: Open connections.
        text_chars: Characters of a text in a request for embeddings or reranking.
        window_s: How long a first request waits for others to be served with it.
        batch: Queries served together.
    """

    body_bytes: int
    head_s: float
    body_s: float
    answer_s: float
    queries: int
    query_chars: int
    texts: int
    k: int
    hits: int
    waiting: int
    threads: int
    connections: int = 512
    text_chars: int = 65_536
    window_s: float = 0.002
    batch: int = 64

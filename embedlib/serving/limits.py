"""How much one client may ask, and how much may wait."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RequestLimits:
    """Bounds of requests, of time, and of the queue.

    Args:
        body_bytes: Size of a request's body.
        head_s: Time in which a request line and its headers have to arrive.
        body_s: Time in which a body has to arrive.
        connections: Open connections.
        queries: Queries in one search.
        query_chars: Characters of a query.
        texts: Texts in one request for embeddings, and documents in one for reranking.
        text_chars: Characters of such a text.
        k: Hits per query.
        hits: Hits in one answer, over all its queries.
        waiting: Queries, or texts, that wait to be served; more are refused with 429.
        answer_s: Time from the arrival of a request to its answer.
        window_s: How long a first request waits for others to be served with it.
        batch: Queries served together.
        threads: Batches served at once.
    """

    body_bytes: int = 1 << 20
    head_s: float = 10.0
    body_s: float = 10.0
    connections: int = 512
    queries: int = 64
    query_chars: int = 8_192
    texts: int = 256
    text_chars: int = 65_536
    k: int = 1_000
    hits: int = 5_000
    waiting: int = 128
    answer_s: float = 10.0
    window_s: float = 0.002
    batch: int = 64
    threads: int = 2

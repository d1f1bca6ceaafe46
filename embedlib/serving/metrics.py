"""Figures of a server in Prometheus' text format."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
HITS = (0, 1, 3, 10, 30, 100, 1000)


class Metrics:
    """Counters and histograms of one server; several servers of one process do not share them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        in_ = self.registry
        self.requests = Counter("embedlib_requests", "Requests", ["route", "status"], registry=in_)
        self.seconds = Histogram(
            "embedlib_request_seconds", "Seconds to the answer", ["route"], buckets=SECONDS, registry=in_
        )
        self.hits = Histogram("embedlib_search_hits", "Hits a query", ["mode"], buckets=HITS, registry=in_)
        self.batches = Histogram(
            "embedlib_batch_queries", "Queries served together", buckets=SIZES, registry=in_
        )
        self.waiting = Gauge("embedlib_waiting_queries", "Queries that wait to be served", registry=in_)
        self.release = Gauge("embedlib_release", "Number of the release that answers", registry=in_)
        self.answers = Gauge("embedlib_answers", "1, or 0 while the vector store is away", registry=in_)
        self.marks = Counter("embedlib_marks", "Results marked by people", ["relevance"], registry=in_)
        self.unlogged = Counter("embedlib_unlogged_queries", "Drawn but not logged", registry=in_)

    def render(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self.registry)

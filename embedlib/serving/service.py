"""What a server holds: the searcher, earlier releases for comparison, queues, and the reranker."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from fastapi import Depends
from starlette.requests import HTTPConnection

from embedlib.contracts import Floats
from embedlib.index.answer import Answer
from embedlib.index.search import Embedded, Searcher
from embedlib.index.second_stage import Reranker
from embedlib.retrieval.rerank import load_cross_encoder
from embedlib.serving.batcher import Batcher
from embedlib.serving.feedback import Marks, QueryLog
from embedlib.serving.limits import RequestLimits
from embedlib.serving.metrics import Metrics

logger = logging.getLogger(__name__)

#: Seconds between two looks for what is live.
WATCH_S = 1.0


class SearchKind(NamedTuple):
    """What searches must have in common to be served together; ``filters`` is JSON."""

    k: int
    mode: str
    filters: str
    rerank: bool
    one_per_group: bool
    release: int | None


def load_reranker(name: str) -> Reranker:
    """The cross-encoder of that name or folder.

    Raises:
        ModelError: It cannot be loaded.
    """
    return Reranker(name.rstrip("/").rsplit("/", 1)[-1], load_cross_encoder(name))


class Service:
    """Answers requests through bounded queues; its methods that are not ``async`` run in threads.

    Args:
        searcher: Follows the live release.
        limits: Bounds of queues and batches.
        reranker: Orders hits anew where a request wants that; None: the live release's, if it has one.
        log: Keeps served queries; none are kept without.
    """

    def __init__(
        self,
        searcher: Searcher,
        limits: RequestLimits,
        reranker: Reranker | None = None,
        log: QueryLog | None = None,
    ) -> None:
        self.searcher, self.limits, self._reranker = searcher, limits, reranker
        self._log = log
        self.marks = Marks(searcher.root)
        self.metrics = Metrics()
        self._earlier: Searcher | None = None
        self._earlier_guard = threading.Lock()
        self._searches = Batcher(
            self._search,
            waiting=limits.waiting,
            window_s=limits.window_s,
            batch=limits.batch,
            threads=limits.threads,
            served=self.metrics.batches.observe,
        )
        # opening an earlier release takes seconds: it must not hold up those who ask the live one
        self._comparisons = Batcher(self._search, waiting=limits.waiting, window_s=0)
        texts = max(limits.waiting, limits.texts)
        self._encodings = Batcher(self._embed, waiting=texts, window_s=0, batch=1)
        self._rerankings = Batcher(self._rerank, waiting=texts, window_s=0, batch=1)
        self._queues: tuple[Batcher[Any, Any, Any], ...] = (
            self._searches,
            self._comparisons,
            self._encodings,
            self._rerankings,
        )
        self.metrics.waiting.set_function(lambda: sum(queue.waiting for queue in self._queues))
        self.metrics.answers.set_function(lambda: searcher.problem is None)
        self.metrics.release.set_function(lambda: searcher.release.number)

    @property
    def root(self) -> Path:
        """The workspace."""
        return self.searcher.root

    @property
    def reranker(self) -> Reranker | None:
        """The server's reranker, else the live release's."""
        return self._reranker or self.searcher.reranker()

    @property
    def has_room(self) -> bool:
        """Whether a further search would be taken."""
        return self._searches.waiting < self._searches.limit

    async def search(self, queries: list[str], kind: SearchKind) -> Answer:
        """Hits of each query, all from one release."""
        queue = self._searches if kind.release is None else self._comparisons
        return await queue.ask(kind, queries, len(queries), self.limits.answer_s)

    async def watch(self) -> None:
        """Notice every second what is live, and whether a vector store answers, also when nobody asks."""
        while True:
            try:
                await asyncio.to_thread(self.searcher.look)
            except Exception:  # whatever it is, the next look may succeed, and nobody else would look
                logger.exception("the live release cannot be looked for")
            await asyncio.sleep(WATCH_S)

    def note_served(self, queries: list[str], answer: Answer) -> None:
        """Count what was found for each query, and log those that are drawn."""
        for query, hits in zip(queries, answer.hits, strict=True):
            self.metrics.hits.labels(answer.mode).observe(len(hits))
            first = hits[0].doc_id if hits else None
            outcome = {"mode": answer.mode, "release": answer.release, "hits": len(hits), "first": first}
            if self._log is not None and not self._log.note(query, **outcome):
                self.metrics.unlogged.inc()

    async def embed(self, texts: list[str], role: str, dimension: int | None) -> Embedded:
        """Vectors of texts by one release's model."""
        return await self._encodings.ask((role, dimension), texts, len(texts), self.limits.answer_s)

    async def rerank(self, query: str, documents: list[str]) -> Floats:
        """A score for each document."""
        return await self._rerankings.ask(query, documents, len(documents), self.limits.answer_s)

    def close(self) -> None:
        """Finish what is being worked on."""
        for queue in self._queues:
            queue.close()

    def _search(self, kind: SearchKind, requests: list[list[str]]) -> list[Answer]:
        searcher = self.searcher if kind.release is None else self._pinned(kind.release)
        release, mode, hits = searcher.answer(
            [query for queries in requests for query in queries],
            k=kind.k,
            mode=kind.mode,
            filters=json.loads(kind.filters) or None,
            rerank=(self._reranker.score if self._reranker else True) if kind.rerank else None,
            one_per_group=kind.one_per_group,
        )
        rest = iter(hits)
        return [Answer(release, mode, [next(rest) for _ in queries]) for queries in requests]

    def _pinned(self, number: int) -> Searcher:
        """A searcher of an earlier release; one is kept open."""
        with self._earlier_guard:
            if self._earlier is None or self._earlier.release.number != number:
                self._earlier = None
                self._earlier = self.searcher.pinned(number)
            return self._earlier

    def _embed(self, key: tuple[str, int | None], requests: list[list[str]]) -> list[Embedded]:
        role, dimension = key
        return [self.searcher.embed(texts, role, dimension) for texts in requests]

    def _rerank(self, query: str, requests: list[list[str]]) -> list[Floats]:
        if (reranker := self.reranker) is None:
            raise RuntimeError("asked to rerank without a reranker")
        score = reranker.score
        return [score([(query, text) for text in texts]) for texts in requests]


async def _service_of(connection: HTTPConnection) -> Service:
    service: Service = connection.app.state.service
    return service


#: The service of the application, as a route takes it.
OfApp = Annotated[Service, Depends(_service_of)]


def frozen(filters: Mapping[str, Any] | None) -> str:
    """Filters as a key of a dictionary: equal where they mean the same (1 is not true).

    >>> frozen({"year": [2023, 2024], "lang": "en"})
    '{"lang": "en", "year": [2023, 2024]}'
    """
    return json.dumps(filters or {}, sort_keys=True)

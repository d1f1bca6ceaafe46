"""Requests of many clients served together, a bounded number of them waiting."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from embedlib.errors import EmbedlibError, ServiceError
from embedlib.serving.refusals import Refused

logger = logging.getLogger(__name__)

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass
class _Waiting(Generic[Item, Answer]):
    item: Item
    size: int
    answer: asyncio.Future[Answer]


class Batcher(Generic[Key, Item, Answer]):
    """Collects requests for a few milliseconds, and serves those that ask alike in one call.

    While every thread is busy requests go on collecting, so the batches grow with the load. All
    methods but ``serve`` run in the event loop.

    Args:
        serve: Answers several requests of one kind, in order; runs in a thread.
        waiting: Largest total size of what waits.
        window_s: How long a request waits for others when a thread is free.
        batch: Largest total size of what is served together.
        threads: Batches served at once.
        served: Told the size of every batch.
    """

    def __init__(
        self,
        serve: Callable[[Key, list[Item]], list[Answer]],
        *,
        waiting: int,
        window_s: float = 0.002,
        batch: int = 64,
        threads: int = 1,
        served: Callable[[int], object] = lambda size: None,
    ) -> None:
        self._serve = serve
        self.limit, self._window_s, self._batch, self._served = waiting, window_s, batch, served
        self._threads = self._free = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="embedlib-serve")
        self._groups: dict[Key, list[_Waiting[Item, Answer]]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._seconds_each = 0.005
        self.waiting = 0

    async def ask(self, key: Key, item: Item, size: int, timeout_s: float) -> Answer:
        """The answer to one request.

        Raises:
            Refused: Too much is waiting (429), or the answer takes too long (503).
            EmbedlibError: What serving this request raised.
        """
        if self.waiting and self.waiting + size > self.limit:
            raise Refused(429, f"{self.waiting} queries are waiting already; try again", self.retry_after_s)
        loop = asyncio.get_running_loop()
        request = _Waiting[Item, Answer](item, size, loop.create_future())
        self._groups.setdefault(key, []).append(request)
        self.waiting += size
        if self._free and self._timer is None:
            self._timer = loop.call_later(self._window_s, self._start)
        try:
            async with asyncio.timeout(timeout_s):
                return await request.answer
        except TimeoutError:
            message = f"no answer within {timeout_s:g} s; the server is busy"
            raise Refused(503, message, self.retry_after_s) from None

    @property
    def retry_after_s(self) -> int:
        """Whole seconds in which what waits now should be served."""
        return max(1, math.ceil(self.waiting * self._seconds_each / self._threads))

    def close(self) -> None:
        """End the threads; what they work on is finished first."""
        self._pool.shutdown(wait=True)

    def _start(self) -> None:
        self._timer = None
        while self._free and self._groups:
            key, taken = self._take()
            if taken:
                self._free -= 1
                task = asyncio.get_running_loop().run_in_executor(self._pool, self._run, key, taken)
                task.add_done_callback(lambda done, taken=taken: self._finish(done, taken))  # type: ignore[misc]

    def _take(self) -> tuple[Key, list[_Waiting[Item, Answer]]]:
        """The requests that have waited longest, with others of their kind; nobody's are dropped."""
        key = next(iter(self._groups))
        group = self._groups.pop(key)
        taken: list[_Waiting[Item, Answer]] = []
        size = 0
        while group and (not taken or size + group[0].size <= self._batch):
            request = group.pop(0)
            self.waiting -= request.size
            if not request.answer.done():
                taken.append(request)
                size += request.size
        if group:
            self._groups[key] = group
        return key, taken

    def _run(self, key: Key, taken: list[_Waiting[Item, Answer]]) -> list[Answer | EmbedlibError]:
        started = time.perf_counter()
        size = sum(request.size for request in taken)
        answers = self._answers(key, [request.item for request in taken])
        self._seconds_each = 0.8 * self._seconds_each + 0.2 * (time.perf_counter() - started) / size
        self._served(size)
        return answers

    def _answers(self, key: Key, items: list[Item]) -> list[Answer | EmbedlibError]:
        try:
            return list(self._serve(key, items))
        except EmbedlibError as error:
            if len(items) == 1 or isinstance(error, ServiceError):
                return [error] * len(items)
            return [self._answers(key, [item])[0] for item in items]  # whose mistake it is shows alone

    def _finish(
        self, done: asyncio.Future[list[Answer | EmbedlibError]], taken: list[_Waiting[Item, Answer]]
    ) -> None:
        self._free += 1
        failure = done.exception()
        if failure is not None:
            logger.error("a batch failed", exc_info=failure)
        answers = [failure] * len(taken) if failure is not None else done.result()
        for request, answer in zip(taken, answers, strict=True):
            if request.answer.done():
                continue
            if isinstance(answer, BaseException):
                request.answer.set_exception(answer)
            else:
                request.answer.set_result(answer)
        self._start()

"""Batches over the cores: one after the other with every core, or one a core side by side.

Side by side wins where a batch is too small to keep several cores busy (no barrier after every
operation), and threads suffice for it: torch releases the interpreter lock while it computes.
Which is faster here is measured on the first batches of the work itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Batches a core in each half of the calibration.
SAMPLE = 3


class Streams:
    """How batches are laid out over ``cores``; remembers what it measured.

    Attributes:
        side_by_side: One batch a core at a time; None until measured.
    """

    def __init__(self, cores: int) -> None:
        self.cores = cores
        self.side_by_side: bool | None = False if cores == 1 else None

    def map(
        self, work: Callable[[Item], Result], items: Sequence[Item], cost: Callable[[Item], int]
    ) -> Iterator[tuple[Item, Result]]:
        """Yield (item, ``work(item)``) in order, measuring first where there is enough to do.

        Args:
            work: The model on one batch.
            items: The batches.
            cost: Tokens of a batch, to compare rates.
        """
        todo = iter(items)
        sample = SAMPLE * self.cores
        if self.side_by_side is None and len(items) >= 4 * sample:
            rates = {}
            for side_by_side in (False, True):
                part = list(islice(todo, sample))
                started = time.perf_counter()
                yield from self._run(work, part, side_by_side)
                rates[side_by_side] = sum(map(cost, part)) / (time.perf_counter() - started)
            self.side_by_side = rates[True] > rates[False]
        few = len(items) < 2 * self.cores
        yield from self._run(work, todo, self.cores > 1 and not few and self.side_by_side is not False)

    def _run(
        self, work: Callable[[Item], Result], items: Iterable[Item], side_by_side: bool
    ) -> Iterator[tuple[Item, Result]]:
        if side_by_side:
            yield from self._run_side_by_side(work, items)
        else:
            for item in items:
                yield item, work(item)

    def _run_side_by_side(
        self, work: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[tuple[Item, Result]]:
        import torch

        threads = torch.get_num_threads()
        pending: list[tuple[Item, Future[Result]]] = []
        with ThreadPoolExecutor(self.cores, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            try:
                for item in items:
                    pending.append((item, pool.submit(work, item)))
                    if len(pending) > 2 * self.cores:  # bounds what waits in memory
                        first, future = pending.pop(0)
                        yield first, future.result()
                for item, future in pending:
                    yield item, future.result()
            finally:
                for _, future in pending:
                    future.cancel()
                torch.set_num_threads(threads)  # part of the setting is the process's, not the thread's

"""Which examples share a batch."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable, Iterator, Sequence
from functools import cached_property

import numpy as np
from sentence_transformers.base.sampler import DefaultBatchSampler


class ExampleBatches(DefaultBatchSampler):  # type: ignore[misc]
    """Shuffled batches in which no key stands twice; an example's keys are its query and its positive.

    Every process of a distributed run gets the same global batch and takes its own part of it in
    the collator (each batch is therefore given out ``world`` times, one for each process). So the
    same seed gives the same batches whatever the number of processes. Batches of less than a
    quarter of the size, which the most repeated keys leave over at the end, are left out.

    Args:
        keys: What must not repeat within a batch, a tuple for each example; the first is its query.
        batch_size: Examples per batch, over all processes.
        seed: Seed of the order; the epoch is added to it.
        world: Number of processes.
        per_query: Maximum examples of one query per epoch, chosen anew in each; None is all.
    """

    def __init__(
        self,
        keys: Sequence[tuple[Hashable, ...]],
        *,
        batch_size: int,
        seed: int,
        world: int = 1,
        per_query: int | None = None,
    ) -> None:
        super().__init__(range(len(keys)), batch_size=batch_size, drop_last=False, seed=seed)
        self.keys = keys
        self.per_query = per_query
        self.world = world
        self._planned: tuple[int, list[list[int]]] | None = None

    def batches(self) -> list[list[int]]:
        """This epoch's batches of example positions, as many as in every epoch."""
        if self._planned is None or self._planned[0] != self.epoch:
            planned = self._plan(self.epoch)
            while len(planned) < self.count:
                planned += planned[: self.count - len(planned)]
            self._planned = (self.epoch, planned[: self.count])
        return self._planned[1]

    @property
    def examples(self) -> int:
        """Examples per epoch."""
        return sum(len(batch) for batch in self.batches())

    @cached_property
    def count(self) -> int:
        """Batches per epoch: those of the first one."""
        return len(self._plan(0))

    def _plan(self, epoch: int) -> list[list[int]]:
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.keys)).tolist()
        if self.per_query is not None:
            order = _first_of_each(order, [key[0] for key in self.keys], self.per_query)
        batches = _without_duplicates(order, self.keys, self.batch_size)
        full = [batch for batch in batches if len(batch) >= max(self.batch_size // 4, self.world, 2)]
        return full or batches[:1]

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.batches():
            for _ in range(self.world):
                yield batch

    def __len__(self) -> int:
        return self.count * self.world


def _first_of_each(order: list[int], groups: Sequence[Hashable], most: int) -> list[int]:
    """The first ``most`` of each group, in order."""
    seen: Counter[Hashable] = Counter()
    kept = []
    for index in order:
        seen[groups[index]] += 1
        if seen[groups[index]] <= most:
            kept.append(index)
    return kept


def _without_duplicates(order: list[int], keys: Sequence[tuple[Hashable, ...]], size: int) -> list[list[int]]:
    """Fill batches in order; an example that repeats a key waits for a later batch."""
    batches: list[list[int]] = []
    waiting = deque(order)
    while waiting:
        batch: list[int] = []
        passed: list[int] = []
        taken: set[Hashable] = set()
        while waiting and len(batch) < size:
            index = waiting.popleft()
            if taken.isdisjoint(keys[index]):
                batch.append(index)
                taken.update(keys[index])
            else:
                passed.append(index)
        waiting.extendleft(reversed(passed))
        batches.append(batch)
    return batches

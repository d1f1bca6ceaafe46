"""Queries that are, or nearly are, one another: what must not stand on both sides of a split."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from math import floor

import numpy as np

NEAR = 0.9


def normalised(query: str) -> str:
    """A query as equal ones are compared: without case, spacing and closing punctuation.

    Other signs are part of what is asked.

    >>> normalised("  List ALL files? ")
    'list all files'
    >>> normalised("C++ error"), normalised(".NET error!"), normalised("?!")
    ('c++ error', '.net error', '?!')
    """
    text = " ".join(query.casefold().split())
    return text.rstrip(" .?!;:,") or text


def trigrams(query: str) -> frozenset[str]:
    """Runs of three characters of the normalised query, its ends marked by spaces."""
    text = f" {normalised(query)} "
    return frozenset(text[i : i + 3] for i in range(len(text) - 2)) or frozenset((text,))


class LeakFilter:
    """Finds the held-out query that a text is, or nearly is: Jaccard similarity of character trigrams.

    The search is exact, by the prefix filter (Bayardo, Ma, Srikant 2007): two sets x, y of similarity t
    share at least t·max(|x|, |y|) members, so of either set, in one fixed order, the first
    ⌊(1−t)·size⌋+1 members hold one that is among the other's first. The order is rarest first, so that
    few sets are ever compared.

    Args:
        held_out: Queries that nothing may resemble.
        threshold: Smallest similarity that counts; 1 means equal trigrams.

    >>> LeakFilter(["show the hidden files of a folder"]).match("Show the hidden files of a folder.")
    0
    """

    def __init__(self, held_out: Sequence[str], threshold: float = NEAR) -> None:
        self.threshold = threshold
        self._sets = [trigrams(query) for query in held_out]
        self._frequency = Counter(gram for grams in self._sets for gram in grams)
        self._index: dict[str, list[int]] = defaultdict(list)
        for position, grams in enumerate(self._sets):
            for gram in self._prefix(grams):
                self._index[gram].append(position)

    def matches(self, query: str) -> list[int]:
        """Positions of all held-out queries that ``query`` is or nearly is, ascending."""
        grams = trigrams(query)
        return sorted(p for p in self._candidates(grams) if self._alike(self._sets[p], grams))

    def groups(self) -> list[int]:
        """For each held-out query the smallest position that near-duplicates link it to."""
        from scipy.cluster.hierarchy import DisjointSet

        linked = DisjointSet(range(len(self._sets)))
        for position, grams in enumerate(self._sets):
            for other in self._candidates(grams):
                # thousands of one template are all each other's candidates: few need be compared
                apart = other < position and not linked.connected(other, position)
                if apart and self._alike(self._sets[other], grams):
                    linked.merge(other, position)
        smallest = [0] * len(self._sets)
        for group in linked.subsets():
            first = min(group)
            for position in group:
                smallest[position] = first
        return smallest

    def _candidates(self, grams: frozenset[str]) -> set[int]:
        return {position for gram in self._prefix(grams) for position in self._index.get(gram, ())}

    def match(self, query: str) -> int | None:
        """The first of ``matches``, or None."""
        return next(iter(self.matches(query)), None)

    def _prefix(self, grams: frozenset[str]) -> list[str]:
        frequency = self._frequency
        rarest = sorted((frequency.get(gram, 0), gram) for gram in grams)
        return [gram for _, gram in rarest[: floor((1 - self.threshold) * len(grams) + 1e-9) + 1]]

    def _alike(self, a: frozenset[str], b: frozenset[str]) -> bool:
        if min(len(a), len(b)) < self.threshold * max(len(a), len(b)) - 1e-9:
            return False
        common = len(a & b)
        return common >= self.threshold * (len(a) + len(b) - common) - 1e-9


def stable_order(names: Sequence[str], rng: np.random.Generator) -> list[int]:
    """Positions of the names in a random order that stays as it is when other names come or go.

    Whoever holds out the first share of it holds out nearly the same when documents or labels were added, so
    that a model that is live was not trained on what it is now tested with.

    Args:
        names: What stays the same of each.
        rng: Chooses the order; another number of names takes no more of it.
    """
    key = rng.bytes(16)

    def place(position: int) -> bytes:
        return hashlib.blake2b(names[position].encode(), key=key, digest_size=8).digest()

    return sorted(range(len(names)), key=place)


def near_groups(queries: Sequence[str], threshold: float = NEAR) -> list[int]:
    """For each query the position of the first query it is linked to by near-duplicates."""
    first: dict[str, int] = {}
    texts = [normalised(query) for query in queries]
    for position, text in enumerate(texts):
        first.setdefault(text, position)
    near = LeakFilter([*first], threshold).groups()
    positions = [*first.values()]
    group_of = {text: positions[near[i]] for i, text in enumerate(first)}
    return [group_of[text] for text in texts]


def connected(size: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """For each of 0…size-1 the smallest number that it is connected to, itself included.

    >>> connected(4, [(3, 1)])
    [0, 1, 2, 1]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ends = np.array([*pairs], dtype=np.int64).reshape(-1, 2)
    links = coo_array((np.ones(len(ends), dtype=np.int8), (ends[:, 0], ends[:, 1])), shape=(size, size))
    _, labels = connected_components(links, directed=False)
    _, smallest = np.unique(labels, return_index=True)
    return smallest[labels].tolist()  # type: ignore[no-any-return]

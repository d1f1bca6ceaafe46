"""Connected components."""

from __future__ import annotations


class UnionFind:
    """Disjoint sets of 0…n-1; the smallest member stands for its set.

    >>> sets = UnionFind(4)
    >>> sets.join(3, 1)
    >>> [sets.find(i) for i in range(4)]
    [0, 1, 2, 1]
    """

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))

    def find(self, item: int) -> int:
        """The smallest member of the item's set."""
        parent = self._parent
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    def join(self, a: int, b: int) -> None:
        """Make one set of two."""
        low, high = sorted((self.find(a), self.find(b)))
        self._parent[high] = low

"""Connected components."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


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

"""What takes bad pairs out: leaks, repetitions, queries that do not find their document."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from embedlib.contracts import Floats, Rows
from embedlib.corpus.leaks import LeakFilter, normalised
from embedlib.models.encoder import unit_norm
from embedlib.retrieval.hits import Hits, Mask

#: Side of the blocks in which cosines between queries are computed: 64 MiB of float32.
BLOCK = 4096


def first_of_each(queries: Sequence[str]) -> Mask:
    """True for the first query of each normalised text."""
    seen: set[str] = set()
    keep = np.ones(len(queries), dtype=bool)
    for i, query in enumerate(queries):
        text = normalised(query)
        keep[i] = text not in seen
        seen.add(text)
    return keep


def mean_cosine(vectors: Floats) -> float:
    """Mean cosine of two unrelated vectors of a set: the squared length of its mean unit vector.

    Some encoders keep all cosines above 0.7; thresholds meant for a scale that starts near 0 are
    measured from here upwards, see ``above_background``.
    """
    if len(vectors) < 2:
        return 0.0
    length = float(np.square(unit_norm(vectors).mean(axis=0)).sum())
    return max(
        0.0, (length * len(vectors) - 1) / (len(vectors) - 1)
    )  # without each vector's cosine with itself


def above_background(threshold: float, background: float) -> float:
    """The cosine that lies at ``threshold`` of the way from the background to 1.

    >>> round(above_background(0.9, 0.0), 3), round(above_background(0.9, 0.7), 3)
    (0.9, 0.97)
    """
    return background + (1.0 - background) * threshold


def not_near_identical(vectors: Floats, threshold: float) -> Mask:
    """True for queries that are not too close to an earlier one that stays (greedy, in order)."""
    unit = unit_norm(vectors)
    keep = np.ones(len(unit), dtype=bool)
    for low in range(0, len(unit), BLOCK):
        high = min(low + BLOCK, len(unit))
        close: list[tuple[Rows, Rows]] = []  # (later, earlier)
        for start in range(0, high, BLOCK):
            later, earlier = np.nonzero(unit[low:high] @ unit[start : min(start + BLOCK, high)].T > threshold)
            later, earlier = later + low, earlier + start
            close.append((later[earlier < later], earlier[earlier < later]))
        later, earlier = (np.concatenate(part) for part in zip(*close, strict=True))
        for i, j in sorted(zip(later.tolist(), earlier.tolist(), strict=True)):
            if keep[j]:
                keep[i] = False
    return keep


def found_again(rows: Rows, searches: Sequence[Hits]) -> Mask:
    """Round trip: True for queries whose own document stands among the hits of any of the searches.

    Args:
        rows: int64 [n], each query's document.
        searches: Hits of the n queries by each searcher, cut at the k that counts.
    """
    found: Mask = np.logical_or.reduce([(hits.rows == rows[:, None]).any(axis=1) for hits in searches])
    return found


def leaks(queries: Sequence[str], protected: Sequence[str], threshold: float) -> Mask:
    """True for queries that are, or nearly are, one of the protected (dev and test) queries.

    Args:
        queries: n queries of pairs.
        protected: Dev and test queries.
        threshold: Jaccard similarity of character trigrams from which it counts.
    """
    near = LeakFilter(protected, threshold)
    return np.array([near.match(query) is not None for query in queries], dtype=bool)

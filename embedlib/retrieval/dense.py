"""Exact inner-product search over vectors that come in blocks: the truth that indexes are held to."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from embedlib.contracts import Floats, Rows
from embedlib.errors import DataError
from embedlib.retrieval.hits import Hits, empty_hits

#: Queries scored at once: with blocks of 16,384 documents the score matrix is 32 MiB.
QUERY_CHUNK = 512


def exact_search(queries: Floats, blocks: Iterable[tuple[int, Floats]], k: int) -> Hits:
    """The k documents of highest inner product with each query, ties by row.

    Each block is read once, and only one block, one score matrix [512, b] and the best k so far
    are in memory. (Letters: q queries, b documents of a block, d components.)

    Args:
        queries: float32 [q, d].
        blocks: (first row, float32 [b, d]), in ascending row order, as ``Vectors.blocks()`` gives them.
        k: Hits a query, at least 1.

    Returns:
        Hits [q, k].

    Raises:
        DataError: A vector is not finite, dimensions differ, or blocks are out of order.
    """
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    _require_finite(queries, 0, "query")
    best = empty_hits(len(queries), k)
    expected = 0
    for start, raw in blocks:
        block = np.ascontiguousarray(raw, dtype=np.float32)
        _check_block(queries, block, start, expected)
        expected = start + len(block)
        for low in range(0, len(queries), QUERY_CHUNK):
            part = slice(low, low + QUERY_CHUNK)
            scores = queries[part] @ block.T  # [<=512, b]
            _merge(best.rows[part], best.scores[part], scores, start)
    return best


def block_of(vectors: Floats) -> list[tuple[int, Floats]]:
    """Vectors in memory as the single block that ``exact_search`` takes."""
    return [(0, vectors)]


def _merge(best_rows: Rows, best_scores: Floats, scores: Floats, start: int) -> None:
    """Put a block's better scores into the best so far, in place.

    A later block's rows are higher, so a score equal to the k-th best never displaces it: only
    strictly greater ones are candidates. After the first blocks these are few.
    """
    k = best_scores.shape[1]
    counts = np.count_nonzero(scores > best_scores[:, -1:], axis=1)
    for query in np.flatnonzero(counts > k):
        # too many candidates: raise the bar to the k-th best of the block, ties included
        kth = np.partition(scores[query], scores.shape[1] - k)[scores.shape[1] - k]
        found = np.flatnonzero(scores[query] >= kth)
        _place(
            best_rows, best_scores, np.array([query]), found[None, :] + start, scores[query, found][None, :]
        )
    few = np.flatnonzero((counts > 0) & (counts <= k))
    if len(few):
        rows, values = _pad(few, counts[few], scores, best_scores[few, -1], start)
        _place(best_rows, best_scores, few, rows, values)


def _pad(few: Rows, counts: Rows, scores: Floats, bar: Floats, start: int) -> tuple[Rows, Floats]:
    """Candidates above the bar of the queries ``few`` as two padded arrays [f, max(counts)]."""
    query, column = np.nonzero(scores[few] > bar[:, None])
    place = np.arange(len(query)) - np.repeat(np.cumsum(counts) - counts, counts)
    padded = empty_hits(len(few), int(counts.max()))
    padded.rows[query, place] = column + start
    padded.scores[query, place] = scores[few[query], column]
    return padded.rows, padded.scores


def _place(best_rows: Rows, best_scores: Floats, at: Rows, rows: Rows, values: Floats) -> None:
    """Merge candidates [f, m] (ascending rows, above all rows so far) into the best of queries ``at``."""
    k = best_scores.shape[1]
    all_scores = np.concatenate([best_scores[at], values], axis=1)
    all_rows = np.concatenate([best_rows[at], rows], axis=1)
    order = np.argsort(-all_scores, axis=1, kind="stable")[:, :k]  # stable: ties stay in row order
    best_scores[at] = np.take_along_axis(all_scores, order, axis=1)
    best_rows[at] = np.take_along_axis(all_rows, order, axis=1)


def _require_finite(vectors: Floats, start: int, what: str) -> None:
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        raise DataError(
            f"a {what} vector is not finite",
            where=f"{what} row {start + int(np.argmin(finite))}",
            expected="finite components",
            remedy="encode it again; check the model's weights and precision",
        )


def _check_block(queries: Floats, block: Floats, start: int, expected: int) -> None:
    if block.ndim != 2 or block.shape[1] != queries.shape[1]:
        raise DataError(
            "queries and documents differ in dimension",
            expected=f"[b, {queries.shape[1]}]",
            found=str(list(block.shape)),
            remedy="encode both with the same model and dimension",
        )
    if start < expected:
        raise DataError(
            "vector blocks are out of order", expected=f"first row >= {expected}", found=f"first row {start}"
        )
    _require_finite(block, start, "document")

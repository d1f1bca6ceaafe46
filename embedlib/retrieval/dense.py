"""Exact inner-product search over vectors that come in blocks: the truth that indexes are held to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from embedlib.contracts import Floats, Rows
from embedlib.errors import DataError
from embedlib.models.hardware import cpu_flags
from embedlib.retrieval.coarse import WORTHWHILE, Coarse, CoarseBlock
from embedlib.retrieval.hits import Hits
from embedlib.retrieval.keys import Keys, keep_best, no_keys, to_hits, to_keys, to_scores

#: Queries scored at once: with ``BLOCK`` documents the score matrix is 16 MiB.
QUERY_CHUNK = 512
#: Documents scored at once; smaller blocks are put together up to this many.
BLOCK = 8192
#: Documents of the first block; the next ones double, so that few of a block's scores beat the bar.
FIRST = 1024
#: Chunks of queries in work: one is multiplied on all cores while another's scores are sorted on one.
AT_ONCE = 2
#: Times k: more candidates of a query than this are cut down before they are merged.
CROWD = 4
#: Queries whose scores are partly sorted at once.
SORT_CHUNK = 64
#: Below this many products, fp32 alone is quicker than a first pass in bf16.
WORTH_A_FIRST_PASS = 1 << 24


def exact_search(
    queries: Floats, blocks: Iterable[tuple[int, Floats]], k: int, *, first_pass: bool | None = None
) -> Hits:
    """The k documents of highest inner product with each query, ties by row.

    Each block is read once, and only 8,192 documents, two score matrices [512, 8192] and the best k
    so far are in memory. Where the processor multiplies bf16 several times as fast as fp32 (AMX),
    later blocks are first scored in bf16; whatever can be among the best within the bound on its
    rounding error is scored again in fp32, so that the result is exact all the same.

    Letters: q queries, b documents of a block, d components.

    Args:
        queries: float32 [q, d].
        blocks: (first row, float32 [b, d]), in ascending row order, as ``Vectors.blocks()`` gives them.
        k: Hits a query, at least 1.
        first_pass: Whether to score in bf16 first; None: where the processor is fast at it.

    Returns:
        Hits [q, k].

    Raises:
        DataError: A vector is not finite, dimensions differ, or blocks are out of order.
    """
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    _require_finite(queries, 0, "query")
    if first_pass is None:
        first_pass = "amx_bf16" in cpu_flags() and len(queries) * BLOCK >= WORTH_A_FIRST_PASS
    best = no_keys(len(queries), k)
    coarse = Coarse(queries) if first_pass else None
    parts = [slice(low, low + QUERY_CHUNK) for low in range(0, len(queries), QUERY_CHUNK)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for seen, start, block in _growing(_joined(queries, blocks)):
            # Of a block as large as all before it, about k documents a query are above the bar.
            coarse_block = coarse.of(block) if coarse and seen * WORTHWHILE >= k else None
            done = pool.map(partial(_search_block, best, queries, start, block, coarse_block), parts)
            list(done)
    return to_hits(best)


def block_of(vectors: Floats) -> list[tuple[int, Floats]]:
    """Vectors in memory as the single block that ``exact_search`` takes."""
    return [(0, vectors)]


def _search_block(
    best: Keys, queries: Floats, start: int, block: Floats, coarse: CoarseBlock | None, part: slice
) -> None:
    """Put the documents of a block into the best of some queries, in place."""
    found = coarse.above(part, to_scores(best[part].min(axis=1))) if coarse else None
    if found is None:
        _merge(best[part], queries[part] @ block.T, start)
    else:
        _merge_some(best[part], *found, start)


def _merge(best: Keys, scores: Floats, start: int) -> None:
    """Put a block's scores [q, b] into the best so far, in place.

    A later block's rows are higher, so a score equal to the k-th best never displaces it: only
    strictly greater ones are candidates, of a block as large as all before it about k a query.
    """
    k, bar = best.shape[1], to_scores(best.min(axis=1))
    above = scores > bar[:, None]
    many = np.flatnonzero(np.count_nonzero(above, axis=1) > CROWD * k)
    place = scores.shape[1] - k
    for low in range(0, len(many), SORT_CHUNK):  # raise the bar to the k-th best of the block, ties included
        some = many[low : low + SORT_CHUNK]
        own = scores[some]
        above[some] = own >= np.partition(own, place, axis=1)[:, place, None]
    query, column = np.divmod(np.flatnonzero(above), scores.shape[1])
    _merge_some(best, query, column, scores[query, column], start)


def _merge_some(best: Keys, query: Rows, column: Rows, scores: Floats, start: int) -> None:
    """Merge candidates, given as flat arrays in the order of their queries, in place."""
    if not len(query):
        return
    at, first, counts = np.unique(query, return_index=True, return_counts=True)
    more = no_keys(len(at), int(counts.max()))
    place = np.arange(len(query)) - np.repeat(first, counts)
    more[np.repeat(np.arange(len(at)), counts), place] = to_keys(scores, column.astype(np.int64) + start)
    best[at] = keep_best(best[at], more)


def _growing(blocks: Iterable[tuple[int, Floats]]) -> Iterator[tuple[int, int, Floats]]:
    """Cut blocks so that none has more documents than came before it; how many these were, first."""
    seen = 0
    for start, block in blocks:
        low = 0
        while low < len(block):
            part = block[low : low + max(FIRST, seen)]
            yield seen, start + low, part
            low += len(part)
            seen += len(part)


def _joined(queries: Floats, blocks: Iterable[tuple[int, Floats]]) -> Iterator[tuple[int, Floats]]:
    """Checked blocks of at most ``BLOCK`` rows: larger ones are cut, adjoining small ones put together."""
    waiting: list[Floats] = []
    first = end = 0
    for start, part in _cut(queries, blocks):
        if waiting and (start != end or sum(map(len, waiting)) + len(part) > BLOCK):
            yield first, waiting[0] if len(waiting) == 1 else np.concatenate(waiting)
            waiting = []
        if not waiting:
            first = start
        waiting.append(part)
        end = start + len(part)
    if waiting:
        yield first, waiting[0] if len(waiting) == 1 else np.concatenate(waiting)


def _cut(queries: Floats, blocks: Iterable[tuple[int, Floats]]) -> Iterator[tuple[int, Floats]]:
    expected = 0
    for start, raw in blocks:
        block = np.ascontiguousarray(raw, dtype=np.float32)
        _check_block(queries, block, start, expected)
        expected = start + len(block)
        for low in range(0, len(block), BLOCK):
            yield start + low, block[low : low + BLOCK]


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

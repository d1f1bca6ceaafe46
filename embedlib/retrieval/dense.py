"""Exact inner-product search over vectors that come in blocks: the truth that indexes are held to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from embedlib.contracts import Floats, Rows
from embedlib.errors import DataError
from embedlib.models.hardware import cpu_flags
from embedlib.models.streams import over_cores
from embedlib.retrieval.coarse import Shortlist
from embedlib.retrieval.hits import NO_ROW, Hits
from embedlib.retrieval.keys import merge_block, no_keys, to_hits

#: What is searched: called, gives (first row, float32 [b, d]) in ascending row order, each time anew.
Blocks = Callable[[], Iterable[tuple[int, Floats]]]

#: Queries scored at once: with ``BLOCK`` documents the score matrix is 16 MiB.
QUERY_CHUNK = 512
#: Documents scored at once; smaller blocks are put together up to this many.
BLOCK = 8192
#: Documents of the first block; the next ones double, so that few of a block's scores beat the bar.
FIRST = 1024
#: Chunks of queries in work: one is multiplied on all cores while another's scores are sorted on one.
AT_ONCE = 2
#: Below this many products, fp32 alone is quicker than a first pass in bf16.
WORTH_A_FIRST_PASS = 1 << 24
#: Queries whose documents' vectors are in memory at once.
CHUNK = 128


def exact_search(queries: Floats, blocks: Blocks, k: int, *, first_pass: bool | None = None) -> Hits:
    """The k documents of highest inner product with each query, ties by row.

    Only 8,192 documents, two score matrices [512, 8192] and a few times k keys a query are in
    memory. Where the processor multiplies bf16 several times as fast as fp32 (AMX), the blocks are
    read twice: scored in bf16, and what can be among the best within the bound on its rounding
    error scored again in fp32, so that the result is exact all the same (see ``coarse``).

    Letters: q queries, b documents of a block, d components.

    Args:
        queries: float32 [q, d].
        blocks: What is searched, such as ``Vectors.blocks``.
        k: Hits per query, at least 1.
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
    return _search_twice(queries, blocks, k) if first_pass else _search_once(queries, blocks, k)


def block_of(vectors: Floats) -> Blocks:
    """Vectors in memory as the blocks that ``exact_search`` takes."""
    return lambda: [(0, vectors)]


def dense_scores(queries: Floats, rows: Rows, vectors_of: Callable[[Rows], Floats]) -> Floats:
    """Inner product of each query with each of its rows, ``CHUNK`` queries' vectors in memory at a time.

    Args:
        queries: float32 [q, d].
        rows: int64 [q, c], -1 where there is none.
        vectors_of: float32 [n, d] of rows int64 [n].

    Returns:
        float32 [q, c], -inf where there is no row.
    """
    out = np.full(rows.shape, -np.inf, dtype=np.float32)
    for low in range(0, len(queries), CHUNK):
        query, place = np.nonzero(rows[low : low + CHUNK] != NO_ROW)
        distinct, position = np.unique(rows[low + query, place], return_inverse=True)
        if len(distinct):
            documents = vectors_of(distinct)[position]  # [pairs, d]
            out[low + query, place] = np.einsum("nd,nd->n", queries[low + query], documents)
    return out


def _search_once(queries: Floats, blocks: Blocks, k: int) -> Hits:
    best = no_keys(len(queries), k)

    def prepare(start: int, block: Floats) -> Callable[[slice], None]:
        return lambda part: merge_block(best[part], queries[part] @ block.T, start)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        _read(queries, blocks, prepare, pool.map)
    return to_hits(best)


def _search_twice(queries: Floats, blocks: Blocks, k: int) -> Hits:
    import torch

    listed = Shortlist(queries, k)
    run = partial(over_cores, cores=torch.get_num_threads())
    _read(queries, blocks, listed.first, run)
    listed.cut()
    _read(queries, blocks, listed.second, map)
    hits = listed.hits()
    if len(listed.unsure):
        rest = _search_once(queries[listed.unsure], blocks, k)
        hits.rows[listed.unsure], hits.scores[listed.unsure] = rest
    return hits


def _read(
    queries: Floats,
    blocks: Blocks,
    prepare: Callable[[int, Floats], Callable[[slice], None]],
    run: Callable[[Callable[[slice], None], list[slice]], Iterable[Any]],
) -> None:
    """Read every block once; ``run`` what ``prepare`` makes of it over the chunks of queries."""
    parts = [slice(low, low + QUERY_CHUNK) for low in range(0, len(queries), QUERY_CHUNK)]
    for start, block in _growing(_joined(queries, blocks())):
        for _ in run(prepare(start, block), parts):
            pass


def _growing(blocks: Iterable[tuple[int, Floats]]) -> Iterator[tuple[int, Floats]]:
    """Cut blocks so that none has more documents than came before it."""
    seen = 0
    for start, block in blocks:
        low = 0
        while low < len(block):
            part = block[low : low + max(FIRST, seen)]
            yield start + low, part
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

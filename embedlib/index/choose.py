"""Which index type fits: by number of vectors, memory budget, and what building has shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from embedlib.errors import UserError

#: ``binary`` in the configuration: one bit a component (its sign), Hamming distance, rescored.
BINARY = "LSH"
#: Beyond this many vectors a graph takes too long to build and too much memory to be the default.
GRAPH_LIMIT = 1_000_000
LINKS = 32
MIB = 1 << 20


class IndexCandidate(NamedTuple):
    """A factory string, its estimated size in MiB when searched, and why it stands in the list."""

    factory: str
    memory_mb: float
    reason: str


@dataclass(frozen=True)
class Demands:
    """What is asked of an index; the ``index`` options say what each means."""

    factory: str = "auto"
    dimension: int | None = None
    recall_target: float = 0.95
    recall_k: int = 10
    memory_mb: float | None = None
    latency_ms: float | None = None
    flat_limit: int = 100_000
    threads: int | None = None


def candidates(count: int, dimension: int, demands: Demands) -> list[IndexCandidate]:
    """Index types worth trying, best first; every one fits the memory budget.

    Raises:
        UserError: Not even one bit a component fits the memory budget.
    """
    every = _every(count, dimension)
    fitting = [c for c in every if demands.memory_mb is None or c.memory_mb <= demands.memory_mb]
    if not fitting:
        least = min(every, key=lambda c: c.memory_mb)
        raise UserError(
            f"no index of {count} vectors of {dimension} components fits the memory budget",
            where="index.memory_mb",
            expected=f"at least {least.memory_mb:.0f} MiB ({least.factory})",
            found=f"{demands.memory_mb:g} MiB",
            remedy="raise index.memory_mb, or index fewer components with index.dimension",
        )
    if count <= demands.flat_limit and fitting[0].factory == "Flat":
        return fitting if demands.latency_ms is not None else fitting[:1]
    return [c for c in fitting if c.factory != "Flat"] or fitting


def _every(count: int, dimension: int) -> list[IndexCandidate]:
    lists, code = list_count(count), code_bytes(dimension)
    flat, links = 4 * dimension, 8 * LINKS + 16
    graph = [
        _sized(f"HNSW{LINKS}", flat + links, count, 0, "a graph: fast at high recall"),
        _sized(f"HNSW{LINKS}_SQ8", dimension + links, count, 0, "a graph over 8-bit components"),
    ]
    coarse = lists * dimension * 4
    inverted = [
        _sized(f"IVF{lists},Flat", flat + 8, count, coarse, "inverted lists: quick to build"),
        _sized(f"IVF{lists},SQ8", dimension + 8, count, coarse, "inverted lists of 8-bit components"),
        _sized(
            f"OPQ{code},IVF{lists},PQ{code}",
            code + 8,
            count,
            coarse + 4 * dimension * dimension,
            "product quantisation",
        ),
    ]
    exact = _sized("Flat", flat, count, 0, "exact")
    bits = _sized(BINARY, math.ceil(dimension / 8), count, 0, "one bit a component")
    middle = [*graph, *inverted] if count <= GRAPH_LIMIT else inverted
    if count < 40 * 256:  # too few to train inverted lists and codes on
        middle = graph
    return [exact, *middle, bits]


def list_count(count: int) -> int:
    """Inverted lists for ``count`` vectors: a power of two near 4 sqrt(n), as FAISS's guidelines advise.

    At least 39 training vectors a list, FAISS's own minimum, remain available.
    """
    wanted = round(math.log2(max(4 * math.sqrt(count), 1)))
    return 1 << min(wanted, int(math.log2(max(count / 39, 1))))


def code_bytes(dimension: int) -> int:
    """Bytes of a product code: the largest divisor of the dimension that is at most a quarter of it."""
    return max(m for m in range(1, max(dimension // 4, 1) + 1) if dimension % m == 0)


def training_need(factory: str, count: int) -> int:
    """Vectors that training this type can use: 64 a list and at least 64 x 256 for codes."""
    lists = [
        int(part[3:].split("_")[0])
        for part in factory.split(",")
        if part[:3] == "IVF" and part[3:4].isdigit()
    ]
    return min(count, max([64 * 256, *(64 * n for n in lists)]))


def describe(tried: Sequence[tuple[IndexCandidate, str]]) -> str:
    """Why the last candidate was taken, and why those before it were not."""
    *failed, (chosen, _) = tried
    passed_over = [f"{c.factory} {why}" for c, why in failed]
    return "; ".join([f"{chosen.factory}: {chosen.reason}", *passed_over])


def _sized(factory: str, per_vector: int, count: int, fixed: int, reason: str) -> IndexCandidate:
    return IndexCandidate(factory, (per_vector * count + fixed) / MIB, reason)

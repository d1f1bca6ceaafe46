"""Which is best for me: what each way to search reaches, what it costs here, and what is dominated."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from embedlib.errors import DataError
from embedlib.evaluation.significance import Interval
from embedlib.json_file import JsonFile
from embedlib.retrieval.plan import TwoStagePlan

#: Costs that differ by less than this factor count as equal: so much do repeated measurements differ.
EQUAL = 1.05
#: The costs of ``Alternative.costs``.
COST_COLUMNS = ("p50 ms", "p95 ms", "memory MiB", "files MiB", "re-encode")
#: Queries that are timed at least, however long they take.
LEAST_QUERIES = 10


@dataclass(frozen=True)
class Alternative:
    """One way to search: quality and costs, None where they were not measured.

    Args:
        system: Its name in the evaluation.
        quality: The primary measure's mean.
        p50_ms: Median time from a query's text to its hits.
        p95_ms: 95th percentile of the same.
        memory_mb: MiB of weights, vectors and postings.
        disk_mb: MiB of the files of model and index.
        reencode_s: Seconds to encode and index the whole corpus anew.
        reencode_usd: US dollars that a provider takes for that.
        dominated_by: The best system that is no worse in anything and better in something; or empty.
    """

    system: str
    quality: Interval
    p50_ms: float | None
    p95_ms: float | None
    memory_mb: float
    disk_mb: float
    reencode_s: float | None
    reencode_usd: float = 0.0
    dominated_by: str = ""

    def costs(self) -> list[str]:
        """The costs for people, in the order of ``COST_COLUMNS``."""
        dollars = f"${self.reencode_usd:,.4f}" if self.reencode_usd else "–"
        return [
            "–" if self.p50_ms is None else f"{self.p50_ms:.1f}",
            "–" if self.p95_ms is None else f"{self.p95_ms:.1f}",
            f"{self.memory_mb:,.1f}",
            f"{self.disk_mb:,.1f}",
            dollars if self.reencode_s is None else f"{self.reencode_s:,.1f} s",
        ]


class Choice(JsonFile):
    """Ways to search, best quality first, by the primary measure of the queries that decide.

    ``two_stage`` is how the release's own reranker orders the hits of what ``two-stage:`` stands before.
    """

    FILE: ClassVar[str] = "choice.json"
    primary: str
    alternatives: list[Alternative]
    two_stage: TwoStagePlan | None = None

    @property
    def note(self) -> str:
        """What a reader of the table has to be told; empty where there is nothing."""
        if self.two_stage is None:
            return ""
        return f"two-stage, as it is served: {self.two_stage}, weight {self.two_stage.weight:g}"


def ranked(alternatives: Sequence[Alternative]) -> list[Alternative]:
    """Best quality first, each with what dominates it."""
    order = sorted(alternatives, key=lambda a: (-a.quality.mean, a.system))
    return [replace(a, dominated_by=next((b.system for b in order if dominates(b, a)), "")) for a in order]


def dominates(one: Alternative, other: Alternative) -> bool:
    """Whether ``one`` is no worse in quality, latency, memory and re-encoding, and better in one of them."""
    if one.quality.mean < other.quality.mean:
        return False
    pairs = [
        (one.p50_ms, other.p50_ms),
        (one.memory_mb, other.memory_mb),
        (one.reencode_s, other.reencode_s),
        (one.reencode_usd, other.reencode_usd),
    ]
    ratios = [_ratio(a, b) for a, b in pairs]
    if not all(ratio <= EQUAL for ratio in ratios):
        return False
    return one.quality.mean > other.quality.mean or any(ratio < 1 / EQUAL for ratio in ratios)


def _ratio(one: float | None, other: float | None) -> float:
    """One cost over another; NaN, which compares with nothing, where only one is known."""
    if one == other:
        return 1.0
    if one is None or other is None:
        return math.nan
    return one / other if other else math.inf


def latencies(
    answers: Mapping[str, Callable[[str], object]],
    queries: Sequence[str],
    *,
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, tuple[float, float]]:
    """Median and 95th percentile of the milliseconds that each system takes to answer one query.

    Each query is asked of every system in turn, beginning with another one each time, so that a busy
    machine and warm caches are fair to all; the first one is asked once more before anything counts.

    No further query is begun after ``seconds``, unless fewer than ``LEAST_QUERIES`` were asked.

    Raises:
        DataError: There is no query.
    """
    if not queries:
        raise DataError("nothing to measure with", where="latencies", expected="at least one query")
    taken: dict[str, list[float]] = {name: [] for name in answers}
    begun = clock()
    for number, query in enumerate([queries[0], *queries]):
        if number > LEAST_QUERIES and clock() - begun > seconds:
            break
        systems = list(answers.items())
        for name, answer in [*systems[number % len(systems) :], *systems[: number % len(systems)]]:
            started = clock()
            answer(query)
            taken[name].append(1000 * (clock() - started))
    return {
        name: (float(np.percentile(ms[1:], 50)), float(np.percentile(ms[1:], 95)))
        for name, ms in taken.items()
    }

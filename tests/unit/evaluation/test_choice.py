"""Which is best for me: what dominates what, and how latencies are taken."""

from __future__ import annotations

import pytest

from embedlib.errors import DataError
from embedlib.evaluation.choice import Alternative, dominates, latencies, ranked
from embedlib.evaluation.plots import pareto
from embedlib.evaluation.significance import Interval


def one(
    system: str = "a", quality: float = 0.5, ms: float | None = 10.0, **changes: float | None
) -> Alternative:
    given = {"memory_mb": 100.0, "disk_mb": 100.0, "reencode_s": 60.0, "reencode_usd": 0.0, **changes}
    return Alternative(system, Interval(quality, quality - 0.1, quality + 0.1, 9), ms, ms, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (one(quality=0.6), one(), True),
        (one(), one(), False),
        (one(quality=0.6, ms=20), one(), False),  # better and slower: a trade
        (one(quality=0.6, ms=10.4), one(), True),  # slower by less than measurements differ
        (one(ms=9), one(), True),
        (one(ms=9.6), one(), False),
        (one(memory_mb=50.0), one(), True),
        (one(quality=0.49, memory_mb=50.0), one(), False),
        (
            one(quality=0.6, reencode_s=None, reencode_usd=0.1),
            one(),
            False,
        ),  # seconds and dollars do not compare
        (one(quality=0.6, ms=None), one(), False),
        (one(quality=0.6, ms=None), one(ms=None), True),
    ],
)
def test_what_dominates(first: Alternative, second: Alternative, expected: bool) -> None:
    assert dominates(first, second) is expected
    assert not (dominates(first, second) and dominates(second, first))


def test_best_first_each_with_the_best_that_dominates_it() -> None:
    rows = ranked([one("slow", 0.5, 30), one("best", 0.7, 20), one("good", 0.6, 20), one("bm25", 0.4, 1)])
    assert [(row.system, row.dominated_by) for row in rows] == [
        ("best", ""),
        ("good", "best"),
        ("slow", "best"),
        ("bm25", ""),
    ]
    assert one(ms=None, reencode_s=None, reencode_usd=0.5).costs() == ["–", "–", "100.0", "100.0", "$0.5000"]


class Clock:
    """A second passes for each unit of ``work``."""

    def __init__(self) -> None:
        self.now, self.asked = 0.0, list[str]()

    def __call__(self) -> float:
        return self.now

    def system(self, name: str, seconds: float):  # type: ignore[no-untyped-def]
        def answer(query: str) -> None:
            self.asked.append(f"{name} {query}")
            self.now += seconds * (10 if len(self.asked) <= 2 else 1)

        return answer


def test_systems_take_turns_and_the_first_call_does_not_count() -> None:
    clock = Clock()
    answers = {"a": clock.system("a", 0.01), "b": clock.system("b", 0.02)}
    found = latencies(answers, ["x", "y"], seconds=9, clock=clock)
    assert clock.asked == ["a x", "b x", "b x", "a x", "a y", "b y"]
    assert found == {"a": pytest.approx((10, 10)), "b": pytest.approx((20, 20))}


def test_time_ends_the_measurement_but_not_before_ten_queries() -> None:
    clock = Clock()
    latencies({"a": clock.system("a", 5)}, [f"q{n}" for n in range(50)], seconds=1, clock=clock)
    assert len(clock.asked) == 11
    with pytest.raises(DataError, match="nothing to measure"):
        latencies({}, [], seconds=1)


def test_the_front_by_hand() -> None:
    points = [
        ("fast", 1.0, Interval(0.4, 0.3, 0.5, 9), ""),
        ("worse", 10.0, Interval(0.3, 0.2, 0.4, 9), ""),
        ("slow", 100.0, Interval(0.6, 0.5, 0.7, 9), "main"),
    ]
    plot = pareto(points)
    assert plot is not None
    assert [(d.left, d.top) for d in plot.dots] == [(0, 60), (50, 80), (100, 20)]
    assert plot.front == "0.0,60.0 100.0,20.0"
    assert (plot.x_low, plot.x_high, plot.y_low, plot.y_high) == ("1", "100", "0.200", "0.700")
    assert pareto(points[:1]) is None

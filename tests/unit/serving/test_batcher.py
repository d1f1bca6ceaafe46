"""Requests of several clients: served together, bounded, refused when too many, each with its own answer."""

from __future__ import annotations

import asyncio
import threading

import pytest

from embedlib.errors import DataError, ServiceError
from embedlib.serving.batcher import Batcher
from embedlib.serving.refusals import Refused


class Recorder:
    """Doubles numbers; batches can be held back."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, list[int]]] = []
        self.go = threading.Event()
        self.go.set()

    def __call__(self, key: str, items: list[int]) -> list[int]:
        self.batches.append((key, list(items)))
        assert self.go.wait(10)
        if any(item < 0 for item in items):
            raise DataError("a negative number")
        return [2 * item for item in items]


def run(work):
    return asyncio.run(work)


def test_requests_within_the_window_are_served_together_by_kind():
    serve = Recorder()

    async def work():
        batcher = Batcher(serve, waiting=100, window_s=0.05)
        kinds = ["x", "y", "x", "x"]
        return await asyncio.gather(*(batcher.ask(kind, i, 1, 5) for i, kind in enumerate(kinds)))

    assert run(work()) == [0, 2, 4, 6]
    assert sorted(serve.batches) == [("x", [0, 2, 3]), ("y", [1])]


def test_a_batch_is_bounded_and_nobody_is_left_behind():
    serve = Recorder()

    async def work():
        batcher = Batcher(serve, waiting=100, window_s=0.02, batch=3)
        return await asyncio.gather(*(batcher.ask("x", i, 1, 5) for i in range(8)), batcher.ask("y", 9, 1, 5))

    assert run(work()) == [*range(0, 16, 2), 18]
    assert [len(items) for _, items in serve.batches] == [3, 1, 3, 2]  # y does not wait for all of x


def test_one_bad_request_does_not_spoil_the_others():
    serve = Recorder()

    async def work():
        batcher = Batcher(serve, waiting=100, window_s=0.02)
        return await asyncio.gather(*(batcher.ask("x", i, 1, 5) for i in (1, -1, 3)), return_exceptions=True)

    first, bad, last = run(work())
    assert (first, last) == (2, 6)
    assert isinstance(bad, DataError)


def test_a_service_that_is_away_is_not_asked_once_more_for_each_request():
    calls = []

    def serve(key, items):
        calls.append(items)
        raise ServiceError("away")

    async def work():
        batcher = Batcher(serve, waiting=100, window_s=0.02)
        return await asyncio.gather(*(batcher.ask("x", i, 1, 5) for i in range(3)), return_exceptions=True)

    assert [type(answer) for answer in run(work())] == [ServiceError] * 3
    assert calls == [[0, 1, 2]]


def test_too_many_are_refused_with_a_time_to_come_back_and_those_after_are_served():
    serve = Recorder()
    serve.go.clear()

    async def work():
        batcher = Batcher(serve, waiting=4, window_s=0)
        first = asyncio.create_task(batcher.ask("x", 0, 1, 5))
        while not serve.batches:
            await asyncio.sleep(0.001)
        waiting = [asyncio.create_task(batcher.ask("x", i, 1, 5)) for i in range(1, 5)]
        await asyncio.sleep(0)
        with pytest.raises(Refused) as refused:
            await batcher.ask("x", 9, 1, 5)
        assert refused.value.status == 429
        assert int(refused.value.headers["Retry-After"]) >= 1
        serve.go.set()
        answers = await asyncio.gather(first, *waiting)
        return [*answers, await batcher.ask("x", 9, 1, 5)], batcher.waiting

    assert run(work()) == ([0, 2, 4, 6, 8, 18], 0)


def test_a_request_that_waits_too_long_is_given_up_and_not_worked_on():
    serve = Recorder()
    serve.go.clear()

    async def work():
        batcher = Batcher(serve, waiting=4, window_s=0)
        first = asyncio.create_task(batcher.ask("x", 0, 1, 5))
        while not serve.batches:
            await asyncio.sleep(0.001)
        with pytest.raises(Refused) as refused:
            await batcher.ask("x", 1, 1, 0.05)
        assert refused.value.status == 503
        serve.go.set()
        await first
        return await batcher.ask("x", 2, 1, 5)

    assert run(work()) == 4
    assert serve.batches == [("x", [0]), ("x", [2])]


def test_a_failure_reaches_everyone_and_the_next_are_served(caplog):
    calls = []

    def broken(key, items):
        calls.append(items)
        if len(calls) == 1:
            raise RuntimeError("a fault of the program")
        return items

    async def work():
        batcher = Batcher(broken, waiting=9, window_s=0.01)
        both = await asyncio.gather(*(batcher.ask("x", i, 1, 5) for i in (1, 2)), return_exceptions=True)
        assert all(isinstance(one, RuntimeError) for one in both)
        return await batcher.ask("x", 3, 1, 5)

    assert run(work()) == 3
    assert "a batch failed" in caplog.text

"""Batches side by side: order, measurement, errors, and the thread setting given back."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from embedlib.models.streams import SAMPLE, Streams


@pytest.mark.parametrize("side_by_side", [None, False, True])
@pytest.mark.parametrize("count", [1, 3, 50])
def test_every_item_once_in_order(side_by_side, count):
    streams = Streams(2)
    streams.side_by_side = side_by_side
    found = list(streams.map(lambda x: x * x, range(count), lambda x: 1))
    assert found == [(x, x * x) for x in range(count)]


def test_it_measures_and_keeps_the_faster_way():
    streams = Streams(2)
    list(streams.map(lambda x: time.sleep(0.01), range(8 * SAMPLE), lambda x: 1))
    assert streams.side_by_side is True  # two sleeps overlap


def test_it_measures_that_side_by_side_does_not_pay():
    lock = threading.Lock()
    streams = Streams(2)

    def work(x):
        with lock:
            time.sleep(0.002 if threading.current_thread() is threading.main_thread() else 0.01)

    list(streams.map(work, range(8 * SAMPLE), lambda x: 1))
    assert streams.side_by_side is False


def test_few_batches_are_not_measured():
    streams = Streams(2)
    list(streams.map(lambda x: x, range(4), lambda x: 1))
    assert streams.side_by_side is None


def test_one_thread_each_and_the_setting_restored():
    before = torch.get_num_threads()
    streams = Streams(2)
    streams.side_by_side = True
    seen = [threads for _, threads in streams.map(lambda x: torch.get_num_threads(), range(20), lambda x: 1)]
    assert set(seen) == {1}
    assert torch.get_num_threads() == before


def test_an_error_reaches_the_caller_and_ends_the_work():
    streams = Streams(2)
    streams.side_by_side = True
    done = []

    def work(x):
        if x == 5:
            raise ValueError("batch 5")
        done.append(x)

    with pytest.raises(ValueError, match="batch 5"):
        list(streams.map(work, range(1000), lambda x: 1))
    assert len(done) < 100

"""Batches side by side: order, errors, the thread setting given back, the caller's autocast."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from embedlib.models.local import LocalEncoder, load_encoder
from embedlib.models.streams import over_cores


@pytest.fixture
def tiny_encoder(tiny_model: Path) -> LocalEncoder:
    return load_encoder(tiny_model, device="cpu")


@pytest.mark.parametrize("cores", [1, 2, 3])
@pytest.mark.parametrize("count", [0, 1, 3, 50])
def test_every_item_once_in_order(cores, count):
    assert list(over_cores(lambda x: x * x, range(count), cores)) == [(x, x * x) for x in range(count)]


def test_two_batches_are_in_work_at_once():
    both = threading.Barrier(2, timeout=10)
    found = [place for _, place in over_cores(lambda x: both.wait(), range(8), 2)]
    assert sorted(found) == [0, 0, 0, 0, 1, 1, 1, 1]  # four pairs met; one alone would break the barrier


def test_few_batches_use_every_core_of_the_caller():
    here = threading.get_ident()
    assert {thread for _, thread in over_cores(lambda x: threading.get_ident(), range(3), 2)} == {here}


def test_one_thread_each_and_the_setting_restored():
    before = torch.get_num_threads()
    seen = [threads for _, threads in over_cores(lambda x: torch.get_num_threads(), range(20), 2)]
    assert set(seen) == {1}
    assert torch.get_num_threads() == before


def test_an_error_reaches_the_caller_and_ends_the_work():
    done = []

    def work(x):
        if x == 5:
            raise ValueError("batch 5")
        done.append(x)

    with pytest.raises(ValueError, match="batch 5"):
        list(over_cores(work, range(1000), 2))
    assert len(done) < 100


def test_autocast_holds_in_every_thread(tiny_encoder: LocalEncoder):
    texts = [f"copy file number {i} to folder {i % 7}" for i in range(2000)]
    whole = tiny_encoder.encode(texts)
    seen = set()

    def watch(module, inputs, output):
        seen.add((threading.get_ident(), output.dtype))

    hook = next(m for m in tiny_encoder.module.modules() if isinstance(m, torch.nn.Linear))
    handle = hook.register_forward_hook(watch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = tiny_encoder.encode(texts)
    handle.remove()
    assert {dtype for _, dtype in seen} == {torch.bfloat16}
    assert len(seen) > 1 or torch.get_num_threads() == 1
    assert 0 < np.abs(cast - whole).max() < 0.1


def test_the_same_texts_give_the_same_vectors_bit_for_bit(tiny_encoder: LocalEncoder):
    texts = [f"copy file number {i} to folder {i % 7}" for i in range(2000)]
    assert np.array_equal(tiny_encoder.encode(texts), tiny_encoder.encode(texts))

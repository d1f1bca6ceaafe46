"""Every pooling strategy against a case computed by hand, right- and left-padded."""

from __future__ import annotations

import pytest
import torch

from embedlib.models.options import STRATEGIES
from embedlib.models.pooling import pooling

STATES = [[1.0, 8.0], [3.0, -4.0], [5.0, 2.0]]
JUNK = [99.0, -99.0]  # what a padded position holds must never matter
EXPECTED = {
    "cls": [1, 8],
    "last-token": [5, 2],
    "mean": [9 / 3, 6 / 3],
    "mean-sqrt-length": [9 / 3**0.5, 6 / 3**0.5],
    "max": [5, 8],
    "weighted-mean": [(1 * 1 + 2 * 3 + 3 * 5) / 6, (1 * 8 + 2 * -4 + 3 * 2) / 6],
}
SIDES = {
    "none": (STATES, [1, 1, 1]),
    "right": ([*STATES, JUNK, JUNK], [1, 1, 1, 0, 0]),
    "left": ([JUNK, JUNK, *STATES], [0, 0, 1, 1, 1]),
}


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("side", SIDES)
def test_hand_computed(strategy, side):
    states, mask = SIDES[side]
    found = pooling(strategy)(torch.tensor([states]), torch.tensor([mask]))
    assert torch.allclose(found, torch.tensor([EXPECTED[strategy]], dtype=torch.float32), atol=1e-6)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_text_is_pooled_alike_alone_and_in_a_batch(strategy):
    generator = torch.Generator().manual_seed(3)
    states = torch.randn(2, 5, 4, generator=generator)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]])
    together = pooling(strategy)(states, mask)
    alone = pooling(strategy)(states[1:, :2], mask[1:, :2])
    assert torch.allclose(together[1:], alone, atol=1e-6)

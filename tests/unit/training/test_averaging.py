"""Averaging trained weights with those at the start."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from embedlib.models.local import load_encoder
from embedlib.training import averaging
from embedlib.training.merge import JUDGED, UNJUDGED, average_with_start


@pytest.fixture
def moved(tiny_model):
    """A model one away from where it started, in every weight; and the start."""
    encoder = load_encoder(tiny_model, device="cpu")
    start = {name: value.detach().clone() for name, value in encoder.module.state_dict().items()}
    with torch.no_grad():
        for weight in encoder.module.parameters():
            weight.add_(1.0)
    return encoder, start


def distance(encoder, start) -> float:
    return float(
        np.mean([float((p.detach() - start[n]).mean()) for n, p in encoder.module.named_parameters()])
    )


@pytest.mark.parametrize(
    ("given", "labelled", "expected"),
    [(0.5, True, 0.5), (None, False, UNJUDGED), (None, True, JUDGED), (1.0, False, 1.0)],
)
def test_the_result_lies_the_share_of_the_way_from_the_start(moved, given, labelled, expected):
    encoder, start = moved
    share, figures = average_with_start(encoder, start, given, None, labelled=labelled, bf16=False)
    assert (share, figures) == (expected, {})
    assert distance(encoder, start) == pytest.approx(expected, abs=1e-6)


def test_dev_queries_choose_the_best_share(moved, monkeypatch):
    encoder, start = moved
    worth = {0.25: 0.3, 0.5: 0.396, 0.75: 0.4, 1.0: 0.38}
    monkeypatch.setattr(
        averaging, "dev_score", lambda *a, **k: (worth[round(distance(encoder, start), 2)], [])
    )
    share, figures = average_with_start(encoder, start, None, object(), labelled=False, bf16=False)
    assert share == 0.75
    assert figures == worth
    assert distance(encoder, start) == pytest.approx(0.75, abs=1e-6)

"""Speed is worked out from the calls' times, memory and size from the model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from toys import ToyEncoder

from embedlib.errors import DataError
from embedlib.models.efficiency import efficiency


class Timed(ToyEncoder):
    """Each call takes a tenth of a second and another hundredth for each text."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.tokens = 0
        self.sizes: list[int] = []

    def encode_documents(self, texts: Sequence[str], *, progress=None) -> np.ndarray:  # type: ignore[no-untyped-def]
        self.now += 0.1 + 0.01 * len(texts)
        self.tokens += 5 * len(texts)
        self.sizes.append(len(texts))
        assert len(set(texts)) == len(texts)
        return super().encode_documents(texts)


def test_speeds_are_those_of_the_calls() -> None:
    encoder = Timed()
    found = efficiency(encoder, [f"t{n}" for n in range(20)], [1, 10], seconds=1.0, clock=lambda: encoder.now)
    one, ten = found.speeds
    assert (one.batch_size, one.calls) == (1, 10)  # ten calls of .11 s are the first to exceed a second
    assert one.ms_per_text == pytest.approx(110)
    assert one.p95_ms == pytest.approx(110)
    assert (ten.batch_size, ten.calls) == (10, 5)
    assert ten.ms_per_text == pytest.approx(20)
    assert ten.p95_ms == pytest.approx(200)
    assert ten.texts_per_s == pytest.approx(50)
    assert ten.tokens_per_s == pytest.approx(250)
    assert encoder.sizes == [10] + [1] * 10 + [10] * 5
    assert found.measured().latency_ms == pytest.approx(110)


def test_fewer_texts_than_a_batch_are_told_apart() -> None:
    encoder = Timed()
    efficiency(encoder, ["a", "b"], [5], seconds=0, clock=lambda: encoder.now)
    assert encoder.sizes == [2, 5, 5, 5]


def test_an_encoder_without_weights_or_token_counts_has_none() -> None:
    found = efficiency(ToyEncoder(), ["a", "b"], [2], seconds=0)
    assert (found.parameters, found.weights_mb, found.device_memory_mb, found.disk_mb) == (None,) * 4
    assert found.speeds[0].tokens_per_s is None
    assert found.peak_memory_mb > 10
    assert found.measured().latency_ms is None


def test_a_real_models_size(tiny_model: Path) -> None:
    from embedlib.models.local import load_encoder

    encoder = load_encoder(tiny_model)
    found = efficiency(encoder, ["a short text", "another one"], [1, 2], seconds=0, path=tiny_model)
    weights = sum(p.numel() for p in encoder.module.parameters())
    assert found.parameters == weights
    assert found.weights_mb == pytest.approx(4 * weights / 2**20)
    assert found.disk_mb is not None
    assert found.disk_mb > found.weights_mb
    assert found.speeds[0].tokens_per_s is not None
    assert found.speeds[0].tokens_per_s > 0


@pytest.mark.parametrize(("texts", "sizes"), [([], [1]), (["a"], [0])])
def test_nothing_to_measure_with(texts: list[str], sizes: list[int]) -> None:
    with pytest.raises(DataError, match="nothing to measure"):
        efficiency(ToyEncoder(), texts, sizes)

"""Efficiency figures: plausible relations, never absolute times."""

from __future__ import annotations

import pytest

from embedlib.errors import DataError
from embedlib.evaluation.efficiency import measure_efficiency
from embedlib.models.local import load_encoder


def test_figures_agree_with_one_another(tiny_model):
    encoder = load_encoder(tiny_model)
    texts = [f"a sentence with number {i}" for i in range(16)]
    found = measure_efficiency(encoder, texts, batches=(1, 4), repeats=1)
    assert set(found["ms_per_text"]) == {"1", "4"}
    assert found["texts_per_s"] == pytest.approx(1000 / found["ms_per_text"]["4"], rel=0.02)
    tokens = found["tokens_per_s"] / found["texts_per_s"]
    assert tokens == pytest.approx(encoder.count_tokens(texts[:4]).mean(), rel=0.02)
    weights = sum(p.numel() for p in encoder.module.parameters())
    assert found["parameters_m"] == pytest.approx(weights / 1e6, abs=0.01)
    assert found["model_mb"] == pytest.approx(weights * 4 / 2**20, abs=0.1)


def test_too_few_texts_are_refused(tiny_model):
    with pytest.raises(DataError, match="too few texts"):
        measure_efficiency(load_encoder(tiny_model), ["one", "one", "two"], batches=(3,))

"""Costs are measured in turn; memory and size are the model's."""

from __future__ import annotations

from pathlib import Path

import pytest
from toys import ToyEncoder

from embedlib.errors import DataError
from embedlib.models.efficiency import compare_costs, folder_mb, weights_mb


class Logged(ToyEncoder):
    """Writes down whose turn it is."""

    def __init__(self, name: str, turns: list[str]) -> None:
        super().__init__()
        self.name, self.turns = name, turns

    def encode_documents(self, texts, *, progress=None):  # type: ignore[no-untyped-def]
        self.turns.append(self.name)
        return super().encode_documents(texts)


def test_models_take_turns(tmp_path: Path) -> None:
    turns: list[str] = []
    models = {name: (Logged(name, turns), tmp_path) for name in ("one", "other")}
    found = compare_costs(models, ["a", "b"], rounds=2)
    assert turns == ["one", "other"] * 3
    assert all(cost.texts_per_s > 0 and cost.query_ms > 0 for cost in found.values())


def test_a_real_models_size(tiny_model: Path) -> None:
    from embedlib.models.local import load_encoder

    encoder = load_encoder(tiny_model)
    assert weights_mb(encoder) == pytest.approx(
        4 * sum(p.numel() for p in encoder.module.parameters()) / 2**20
    )
    assert folder_mb(tiny_model) > weights_mb(encoder) > 0
    assert weights_mb(ToyEncoder()) == 0


def test_nothing_to_measure_with() -> None:
    with pytest.raises(DataError, match="nothing to measure"):
        compare_costs({"toy": (ToyEncoder(), Path())}, [])

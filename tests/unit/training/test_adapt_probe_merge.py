"""Adaptation, the probe of origins and weight merging, through their stages."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from embedlib.config.training import Adapt, Merge, Probe
from embedlib.contracts import PAIRS, write_table
from embedlib.errors import ModelError
from embedlib.models.local import load_encoder
from embedlib.stages import adapt, merge, probe
from embedlib.stages.base import run_stage
from embedlib.training.merge import interpolate, merge_weights


@pytest.fixture
def pairs(make_artifact, docs, tmp_path):
    """Good pairs (a document's own number) and bad ones (another document's)."""
    rows = []
    for i, doc in enumerate(docs[:96]):
        text = f"find number{i}"
        for origin, target in (("good", doc), ("bad", docs[(i * 7 + 3) % 120])):
            pair = {"query_id": f"{origin}{i}", "query": text, "doc_id": target["doc_id"]}
            rows.append({**pair, "origin": origin, "score": 1})
    folder = tmp_path / "pairs"
    folder.mkdir()
    write_table(folder / "pairs.parquet", rows, PAIRS)
    return make_artifact("pairs", folder)


def test_probe_drops_the_origin_that_harms(store, refs, pairs):
    config = Probe(pairs=96, batch_size=16, learning_rate=3e-3, dev_documents=100)
    inputs = {name: refs[name] for name in ("corpus", "queries", "model")}
    built = run_stage(store, probe.STAGE, config, **inputs, pairs=pairs, vectors=refs["corpus"])
    found = built.ref.json("probe.json")
    assert found["kept"] == ["good"]
    assert found["origins"]["good"]["delta"] > 0 > found["origins"]["bad"]["delta"]
    assert found["origins"]["bad"]["n"] == 16


@pytest.mark.parametrize("method", ["mlm", "tsdae"])
def test_adaptation_is_gated_on_dev(store, refs, method):
    config = Adapt(method=method, batch_size=16, learning_rate=1e-3, dev_documents=100)
    inputs = {name: refs[name] for name in ("corpus", "queries", "model")}
    built = run_stage(store, adapt.STAGE, config, **inputs)
    summary = built.ref.manifest.summary
    assert summary["kept"] == int(summary["delta"] >= 0)
    start = load_encoder(refs["model"].path).encode(["where is apple"])
    now = load_encoder(built.ref.path).encode(["where is apple"])
    assert np.allclose(start, now) != bool(summary["kept"])


def test_interpolation_is_linear_and_its_ends_are_the_models(refs, tiny_model, tmp_path):
    encoder = load_encoder(tiny_model)
    base = {k: v.clone() for k, v in encoder.module.state_dict().items()}
    with torch.no_grad():
        for weight in encoder.module.parameters():
            weight.add_(1.0)
    encoder.save(tmp_path / "tuned")
    merge_weights(tiny_model, tmp_path / "tuned", 0.25, tmp_path / "merged")
    merged = load_encoder(tmp_path / "merged").module.state_dict()
    name = next(n for n, v in base.items() if v.is_floating_point())
    torch.testing.assert_close(merged[name], base[name] + 0.25)
    tuned = encoder.module.state_dict()
    torch.testing.assert_close(interpolate(base, tuned, 0.0)[name], base[name])
    torch.testing.assert_close(interpolate(base, tuned, 1.0)[name], tuned[name])


def test_models_of_other_shapes_are_not_interpolated():
    with pytest.raises(ModelError, match="a") as caught:
        interpolate({"a": torch.zeros(2)}, {"a": torch.zeros(3)}, 0.5)
    assert "[2]" in caught.value.expected


def test_merge_stage_takes_the_smallest_share_that_is_as_good(store, refs):
    inputs = {name: refs[name] for name in ("corpus", "queries")}
    built = run_stage(
        store, merge.STAGE, Merge(dev_documents=100), **inputs, base=refs["model"], tuned=refs["model"]
    )
    found = built.ref.json("merge.json")
    assert found["chosen"] == 0.25
    assert [t["share"] for t in found["tried"]] == [0.25, 0.5, 0.75]
    assert json.loads(built.ref.file("provenance.json").read_text())["share"] == 0.25

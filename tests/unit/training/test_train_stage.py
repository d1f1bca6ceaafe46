"""The train stage from artifacts to a model folder."""

from __future__ import annotations

import json

import numpy as np

from embedlib.config.training import Train
from embedlib.models.local import load_encoder
from embedlib.stages.base import run_stage
from embedlib.stages.train import STAGE


def test_trained_model_beats_its_start_and_is_the_same_twice(store, refs):
    config = Train(epochs=4, batch_size=16, learning_rate=2e-3, evaluations=2, dev_documents=100)
    built = run_stage(store, STAGE, config, seed=1, **refs)
    summary = built.ref.manifest.summary
    assert summary["loss_name"] == "mnrl"
    assert summary["dev_best"] > summary["dev_before"]
    assert summary["loss_last"] < summary["loss_first"]
    curve = json.loads(built.ref.file("curve.json").read_text())
    assert curve["dev"][0]["step"] == 0
    vectors = load_encoder(built.ref.path).encode_queries(["where is apple"])
    assert np.isfinite(vectors).all()

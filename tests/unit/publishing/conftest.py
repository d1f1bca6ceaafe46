"""A workspace whose live release has a tuned model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
from published import save_bag_model, small_config, write_beir

from embedlib.index.catalog import Release
from embedlib.stages import decide, encode, evaluate, index, ingest, pin, split
from embedlib.stages.base import run_stage
from embedlib.stages.publish import publish_release
from embedlib.store import Recipe, Store


class Published(NamedTuple):
    """A workspace and its live release."""

    root: Path
    release: Release


@pytest.fixture(scope="session")
def tuned(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Published:
    """A release of a model that a stage ``train`` made from the base."""
    folder = tmp_path_factory.mktemp("published")
    model_folder = save_bag_model(folder / "all-MiniLM-L6-v2", tiny_model)
    config = small_config(folder / "ws", write_beir(folder / "data"), model_folder, evaluate={"guards": []})
    store = Store(config.workspace)
    corpus = run_stage(store, ingest.STAGE, config.ingest).ref
    queries = run_stage(store, split.STAGE, config.split, corpus=corpus).ref
    base = run_stage(store, pin.STAGE, config.model).ref

    def train(work):
        shutil.copytree(
            base.path, work.out, dirs_exist_ok=True, ignore=shutil.ignore_patterns("artifact.json")
        )
        provenance = {"made": "fine-tuned model", "loss": "mnrl"}  # no more than training writes
        (work.out / "provenance.json").write_text(json.dumps(provenance))
        return {}

    recipe = Recipe("train", "model", "code", {"loss": "mnrl", "epochs": 1, "fused": True}, {"model": base})
    model = store.build(recipe, train).ref
    vectors = run_stage(store, encode.STAGE, config.encode, corpus=corpus, model=model).ref
    first = run_stage(store, encode.STAGE, config.encode, corpus=corpus, model=base).ref
    both = {"base": base, "base_vectors": first, "candidate": model, "candidate_vectors": vectors}
    evaluation = run_stage(store, evaluate.STAGE, config.evaluate, corpus=corpus, queries=queries, **both).ref
    decision = run_stage(store, decide.STAGE, config.decide, evaluation=evaluation).ref
    parts = {"corpus": corpus, "vectors": vectors, "model": model}
    built = run_stage(store, index.STAGE, config.index, queries=queries, **parts).ref
    release = publish_release(
        config.workspace, config.publish, {**parts, "index": built, "decision": decision}
    )
    return Published(config.workspace, release)

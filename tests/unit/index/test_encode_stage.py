"""The stages ``pin`` and ``encode`` through the store, on a tiny real model."""

from __future__ import annotations

import numpy as np
import pytest
from records import json_of

from embedlib.config.models import Encode, Model
from embedlib.contracts import CORPUS, content_hash, write_table
from embedlib.errors import ModelError
from embedlib.models.hardware import resolve_precision
from embedlib.models.local import load_encoder
from embedlib.stages import encode, pin
from embedlib.stages.base import run_stage
from embedlib.store import Recipe
from embedlib.vectors import Vectors

DOCUMENTS = {f"doc{i}": " ".join(["word", "other", "thing"][i % 3] for _ in range(i + 1)) for i in range(30)}


@pytest.fixture
def corpus(store):
    def make(work):
        rows = (
            {
                "doc_id": doc_id,
                "title": "Title",
                "text": text,
                "source": "test",
                "group_id": doc_id,
                "content_hash": content_hash("Title", text),
                "metadata": "{}",
            }
            for doc_id, text in sorted(DOCUMENTS.items())
        )
        return {"documents": write_table(work.out / "corpus.parquet", rows, CORPUS)}

    return store.build(Recipe("ingest", "corpus", "code"), make).ref


def test_base_fixes_the_options_in_the_folder(store, tiny_model):
    config = Model(name=str(tiny_model), query_prompt="q: ", max_length=32, dimension=16)
    ref = run_stage(store, pin.STAGE, config).ref
    encoder = load_encoder(ref.path, device="cpu")
    assert (encoder.prompts.query, encoder.max_length, encoder.dimension) == ("q: ", 32, 16)
    assert json_of(ref, "provenance.json")["source"] == tiny_model.name  # no path of this machine
    assert run_stage(store, pin.STAGE, config).reused


def test_base_is_rebuilt_when_the_folders_content_changes(store, tiny_model, tmp_path):
    import shutil

    folder = shutil.copytree(tiny_model, tmp_path / "mine")
    config = Model(name=str(folder))
    run_stage(store, pin.STAGE, config)
    pooling = folder / "1_Pooling" / "config.json"
    pooling.write_text(pooling.read_text().replace("mean", "cls"))
    assert not run_stage(store, pin.STAGE, config).reused


def test_base_of_an_unknown_model_leaves_nothing(store):
    with pytest.raises(ModelError):
        run_stage(store, pin.STAGE, Model(name="nobody/has-this"))
    assert list(store.artifacts("model")) == []


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_encode_gives_the_models_vectors(store, corpus, tiny_model, dtype):
    model = run_stage(store, pin.STAGE, Model(name=str(tiny_model))).ref
    config = Encode(precision="fp32", dtype=dtype, shard_size=7)
    built = run_stage(store, encode.STAGE, config, corpus=corpus, model=model)
    vectors = Vectors(built.ref.path)
    vectors.require_model(model.digest)
    texts = [f"Title {DOCUMENTS[doc_id]}" for doc_id in vectors.ids]
    expected = load_encoder(tiny_model, device="cpu").encode(texts)
    assert np.abs(vectors.load() - expected).max() < (1e-3 if dtype == "float16" else 1e-6)
    summary = built.ref.manifest.summary
    assert summary["encoded"] == 30
    assert summary["tokens_per_s"] > 0
    assert summary["truncated_share"] == 0


def test_shard_size_is_operational(store, corpus, tiny_model):
    model = run_stage(store, pin.STAGE, Model(name=str(tiny_model))).ref
    run_stage(store, encode.STAGE, Encode(shard_size=7), corpus=corpus, model=model)
    assert run_stage(store, encode.STAGE, Encode(shard_size=9), corpus=corpus, model=model).reused


def test_auto_precision_is_definite_in_the_recipe():
    assert encode.STAGE.external(Encode()) == {"precision": resolve_precision("auto", "cpu")}
    assert encode.STAGE.external(Encode(precision="fp32")) == {"precision": "fp32"}

"""The NumPy encoder against sentence-transformers: the same vectors, or hands off."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from embedlib.errors import DataError
from embedlib.models.local import load_encoder
from embedlib.models.numpy_bert import NumpyBert, supports

TEXTS = [
    "a",
    "How do I wait for several threads?",
    "naïve café, Zürich — 東京 🙂 ﬁnal ①",
    "UPPER lower\ttab\nline  spaces [MASK] [SEP] don't",
    "word " * 40,
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The bundled model as a release keeps it."""
    path = tmp_path_factory.mktemp("model") / "saved"
    load_encoder("all-MiniLM-L6-v2", device="cpu").save(path)
    return path


def changed(folder: Path, to: Path, name: str, **values: object) -> Path:
    shutil.copytree(folder, to)
    file = to / name
    file.write_text(json.dumps(json.loads(file.read_text()) | values))
    return to


def difference(folder: Path, texts: list[str] = TEXTS) -> float:
    assert supports(folder)
    theirs = load_encoder(folder, device="cpu").encode_queries(texts)
    return float(np.abs(NumpyBert(folder).encode_queries(texts) - theirs).max())


def test_the_same_vectors(folder):
    assert difference(folder, [*TEXTS, "word " * 600, "x" * 400]) < 2e-6


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("1_Pooling/config.json", {"pooling_mode": "cls"}),
        ("config_sentence_transformers.json", {"prompts": {"query": "query: ", "document": ""}}),
        ("config_sentence_transformers.json", {"similarity_fn_name": "dot"}),
        ("tokenizer_config.json", {"model_max_length": 32}),
        ("config.json", {"layer_norm_eps": 1e-3}),
    ],
)
def test_the_same_vectors_with_other_settings(name, values, folder, tmp_path):
    other = changed(folder, tmp_path / "other", name, **values)
    assert difference(other) < 2e-6
    plain = NumpyBert(folder).encode_queries(TEXTS)
    if "similarity_fn_name" not in values:  # its own Normalize module stays
        assert np.abs(NumpyBert(other).encode_queries(TEXTS) - plain).max() > 1e-4


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("1_Pooling/config.json", {"pooling_mode": "max"}),
        ("1_Pooling/config.json", {"include_prompt": False}),
        ("config.json", {"hidden_act": "relu"}),
        ("config.json", {"model_type": "roberta"}),
        ("config.json", {"position_embedding_type": "relative_key"}),
        ("sentence_bert_config.json", {"query_length": 8}),
        ("modules.json", {}),
    ],
)
def test_anything_else_is_left_to_the_library(name, values, folder, tmp_path):
    if values:
        other = changed(folder, tmp_path / "other", name, **values)
    else:
        other = Path(shutil.copytree(folder, tmp_path / "other"))
        modules = json.loads((other / name).read_text())
        (other / name).write_text(json.dumps([*modules, {**modules[2], "type": "their.own.Module"}]))
    assert not supports(other)
    assert not supports(tmp_path / "nothing")


def test_an_empty_query_is_refused(folder):
    with pytest.raises(DataError, match="empty"):
        NumpyBert(folder).encode_queries([" "])

"""Models whose files lack weights: refused, not filled at random. Damaged ones: one typed sentence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from embedlib.errors import ModelError
from embedlib.models.local import load_encoder
from embedlib.models.resolve import resolve_model
from embedlib.pairs.seq2seq import QueryWriter
from embedlib.retrieval.rerank import load_cross_encoder

PAIRS = [("what is it", "a small fox"), ("what is it", "a big house")]


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


@pytest.fixture(scope="module")
def saved_cross_encoder(tmp_path_factory: pytest.TempPathFactory, minilm: Path) -> Path:
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    folder = tmp_path_factory.mktemp("cross")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertForSequenceClassification(BertConfig(num_labels=1, **sizes)).save_pretrained(folder)
    AutoTokenizer.from_pretrained(minilm).save_pretrained(folder)
    return folder


@pytest.fixture
def cross_encoder(saved_cross_encoder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved_cross_encoder, tmp_path / "cross"))


def _without(folder: Path, part: str) -> None:
    (path,) = folder.rglob("model.safetensors")
    tensors = load_file(path)
    kept = {name: value for name, value in tensors.items() if part not in name}
    assert len(kept) < len(tensors)
    save_file(kept, path, {"format": "pt"})


def test_an_embedding_model_without_a_layer_is_refused(folder: Path) -> None:
    _without(folder, "layer.1.")
    with pytest.raises(ModelError, match="would be random") as error:
        load_encoder(folder)
    assert "layer.1." in error.value.found


def test_an_embedding_model_needs_no_pooler(folder: Path) -> None:
    before = load_encoder(folder).encode_documents(["a text"])
    _without(folder, "pooler")
    assert (load_encoder(folder).encode_documents(["a text"]) == before).all()


def test_weights_of_another_shape_are_refused(folder: Path) -> None:
    (weights,) = folder.rglob("model.safetensors")
    path = weights.with_name("config.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"intermediate_size": 48}))
    with pytest.raises(ModelError):
        load_encoder(folder)


def test_a_cross_encoder_scores_the_same_whenever_it_is_loaded(cross_encoder: Path) -> None:
    first, second = (load_cross_encoder(cross_encoder)(PAIRS).tolist() for _ in range(2))
    assert first == second


@pytest.mark.parametrize("saved_by", ["sentence-transformers", "transformers"])
def test_an_embedding_model_is_no_cross_encoder(saved_by: str, folder: Path) -> None:
    if saved_by == "transformers":
        for name in ("modules.json", "config_sentence_transformers.json"):
            (folder / name).unlink()
    with pytest.raises(ModelError):
        load_cross_encoder(folder)


def test_the_packaged_embedding_model_is_no_cross_encoder() -> None:
    with pytest.raises(ModelError, match="would be random") as error:
        load_cross_encoder("all-MiniLM-L6-v2")
    assert "cross-encoder" in error.value.remedy


def test_a_cross_encoder_without_its_head_is_refused(cross_encoder: Path) -> None:
    _without(cross_encoder, "classifier")
    with pytest.raises(ModelError, match="would be random") as error:
        load_cross_encoder(cross_encoder)
    assert "classifier.bias" in error.value.found


def test_an_encoder_is_no_query_writer(minilm: Path) -> None:
    with pytest.raises(ModelError):
        QueryWriter(minilm)


def test_a_query_writer_without_its_decoder_is_refused(minilm: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer, T5Config, T5ForConditionalGeneration

    sizes = {"d_model": 16, "d_ff": 16, "d_kv": 8, "num_layers": 1, "num_heads": 2, "vocab_size": 30522}
    T5ForConditionalGeneration(T5Config(**sizes, decoder_start_token_id=0)).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(minilm).save_pretrained(tmp_path)
    QueryWriter(tmp_path)
    _without(tmp_path, "decoder.block")
    with pytest.raises(ModelError, match="would be random"):
        QueryWriter(tmp_path)


def _truncated(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def _garbled(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\xff" * 4096)


def _pickled(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"weights": Path("mark")}, folder / "pytorch_model.bin")


def _no_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def _no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_bytes(b"\x00\x01")


@pytest.mark.parametrize("spoil", [_truncated, _garbled, _pickled, _no_config, _no_tokenizer])
def test_a_damaged_cross_encoder_is_a_typed_error(spoil, cross_encoder: Path) -> None:
    spoil(cross_encoder)
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_cross_encoder(cross_encoder)


@pytest.mark.parametrize("name", ["", "  "])
def test_no_name_is_no_model(name: str) -> None:
    with pytest.raises(ModelError, match="no model is named"):
        resolve_model(name)

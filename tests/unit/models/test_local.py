"""The local encoder: order, batches, truncation, prompts, dimensions, bad input, saving."""

from __future__ import annotations

import json
import logging
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from embedlib.errors import DataError, ModelError, OutOfMemory
from embedlib.models import local, tokens
from embedlib.models.local import load_encoder
from embedlib.models.prompts import Prompts
from embedlib.models.tokens import batches

TEXTS = ["a cat", "the quick brown fox jumps over the lazy dog", "b", "one two three four", "dog " * 30]


@pytest.fixture(scope="module")
def encoder(tiny_model):
    return load_encoder(tiny_model, device="cpu")


def last_norm(encoder):
    return encoder.module[0].auto_model.encoder.layer[-1].output.LayerNorm


def count_forwards(encoder, monkeypatch):
    rows = []
    inner = encoder._forward
    monkeypatch.setattr(encoder, "_forward", lambda f: rows.append(len(f["input_ids"])) or inner(f))
    return rows


def test_a_loaded_model_plans_no_attention_per_shape(tiny_model):
    torch.backends.cuda.enable_cudnn_sdp(True)
    load_encoder(tiny_model)
    assert not torch.backends.cuda.cudnn_sdp_enabled()


def test_same_vectors_as_the_library(encoder):
    expected = encoder.module.encode(TEXTS)
    assert np.allclose(encoder.encode(TEXTS), expected, atol=1e-6)


def test_type_shape_and_norm(encoder):
    vectors = encoder.encode(TEXTS)
    assert vectors.dtype == np.float32
    assert vectors.shape == (5, encoder.dimension) == (5, 32)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert encoder.encode([]).shape == (0, 32)


def test_each_text_is_encoded_once(encoder, monkeypatch):
    rows = count_forwards(encoder, monkeypatch)
    vectors = encoder.encode(["x y", "z", "x y", "x y"])
    assert sum(rows) == 2
    assert np.array_equal(vectors[0], vectors[2])
    assert not np.allclose(vectors[0], vectors[1])


@pytest.mark.parametrize("budget", [1, 13, 10_000])
@pytest.mark.parametrize("window", [1, 2, 1000])
def test_batches_and_windows_do_not_change_vectors(encoder, monkeypatch, budget, window):
    expected = encoder.encode(TEXTS)
    monkeypatch.setattr(local, "CPU_BUDGET", budget)
    monkeypatch.setattr(tokens, "WINDOW", window)
    assert np.allclose(encoder.encode(TEXTS), expected, atol=1e-6)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=60), st.integers(1, 100))
def test_batches_partition_within_the_budget(lengths, budget):
    lengths = np.array(lengths)
    found = list(batches(lengths, budget))
    assert sorted(np.concatenate(found).tolist()) == list(range(len(lengths)))
    for batch in found:
        assert len(batch) == 1 or lengths[batch].max() * len(batch) <= budget


def test_a_batch_that_does_not_fit_is_halved(encoder, monkeypatch):
    expected = encoder.encode(TEXTS)
    inner, rows = encoder._forward, []

    def forward(features):
        rows.append(len(features["input_ids"]))
        if rows[-1] > 2:
            raise torch.OutOfMemoryError("no room")
        return inner(features)

    monkeypatch.setattr(encoder, "_forward", forward)
    assert np.allclose(encoder.encode(TEXTS), expected, atol=1e-6)
    assert max(rows) > 2


def test_a_text_that_never_fits_is_a_typed_error(encoder, monkeypatch):
    def forward(features):
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(encoder, "_forward", forward)
    with pytest.raises(OutOfMemory, match="single text"):
        encoder.encode(TEXTS)


def test_progress_reaches_the_total(encoder):
    seen = []
    encoder.encode(TEXTS, progress=lambda done, total, what: seen.append((done, total)))
    assert seen[-1] == (5, 5)
    assert [d for d, _ in seen] == sorted(d for d, _ in seen)


def test_truncation_is_counted_and_length_respected(tiny_model):
    encoder = load_encoder(tiny_model, device="cpu", max_length=8)
    long, cut = "one two three four five six seven eight nine", "one two three four five six"
    vectors = encoder.encode([long, cut, "one"])
    assert encoder.max_length == 8
    assert encoder.truncated == 1
    assert np.allclose(vectors[0], vectors[1], atol=1e-6)
    assert encoder.count_tokens([long, cut, "one"]).tolist() == [11, 8, 3]


def test_a_static_model_counts_its_words(tmp_path):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, "cat": 2}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    SentenceTransformer(modules=[StaticEmbedding(words, embedding_dim=4)], device="cpu").save(str(tmp_path))
    assert load_encoder(tmp_path, device="cpu").count_tokens(["a cat", "a black cat", "cat"]).tolist() == [
        2,
        3,
        1,
    ]


@pytest.mark.parametrize("length", [2, 65])
def test_an_impossible_length_is_refused(tiny_model, length):
    with pytest.raises(ModelError, match="cannot see that many tokens") as error:
        load_encoder(tiny_model, device="cpu", max_length=length)
    assert error.value.expected == "3 to 64"


def test_prompts_by_role(tiny_model):
    encoder = load_encoder(tiny_model, device="cpu", prompts=Prompts("query: ", "passage: "))
    plain = encoder.encode(["query: cat", "passage: cat", "cat"])
    assert np.allclose(encoder.encode_queries(["cat"])[0], plain[0], atol=1e-6)
    assert np.allclose(encoder.encode_documents(["cat"])[0], plain[1], atol=1e-6)
    assert np.allclose(encoder.encode(["cat"], prompt="query: ")[0], plain[0], atol=1e-6)


def test_a_matryoshka_dimension_is_the_leading_part_at_unit_norm(encoder, tiny_model):
    short = load_encoder(tiny_model, device="cpu", dimension=8)
    vectors, full = short.encode(TEXTS), encoder.encode(TEXTS)
    expected = full[:, :8] / np.linalg.norm(full[:, :8], axis=1, keepdims=True)
    assert short.dimension == 8
    assert np.allclose(vectors, expected, atol=1e-6)
    with pytest.raises(ModelError, match="no such dimension"):
        load_encoder(tiny_model, device="cpu", dimension=33)


def test_empty_and_wrong_texts_are_named(encoder):
    with pytest.raises(DataError, match="text 1 is empty"):
        encoder.encode(["fine", " \n"])
    with pytest.raises(DataError, match="text 2 is not a string"):
        encoder.encode(["a", "b", None])


@pytest.mark.parametrize(("value", "found"), [(float("nan"), "NaN"), (0.0, "length zero")])
def test_unusable_vectors_are_named(tiny_model, value, found):
    encoder = load_encoder(tiny_model, device="cpu")
    with torch.no_grad():
        for name, weight in last_norm(encoder).named_parameters():
            weight.fill_(value if name == "weight" else 0.0)
    with pytest.raises(ModelError, match="text 0") as error:
        encoder.encode(["cat", "dog"])
    assert found in error.value.found


def test_saving_keeps_prompts_length_dimension_and_vectors(tiny_model, tmp_path):
    from sentence_transformers import SentenceTransformer

    options = {"prompts": Prompts("q: ", "d: "), "max_length": 16, "dimension": 8}
    encoder = load_encoder(tiny_model, device="cpu", **options)
    encoder.save(tmp_path / "saved")
    again = load_encoder(tmp_path / "saved", device="cpu")
    assert (again.prompts, again.max_length, again.dimension) == (("q: ", "d: "), 16, 8)
    assert np.allclose(again.encode_queries(TEXTS), encoder.encode_queries(TEXTS), atol=1e-6)
    plain = SentenceTransformer(str(tmp_path / "saved"), device="cpu")
    theirs = plain.encode_query(TEXTS, normalize_embeddings=True)
    assert np.allclose(theirs, encoder.encode_queries(TEXTS), atol=1e-6)


def test_saving_twice_gives_the_same_bytes(encoder, tmp_path):
    from embedlib.fingerprint import tree_digest

    encoder.save(tmp_path / "a")
    encoder.save(tmp_path / "b")
    assert tree_digest(tmp_path / "a") == tree_digest(tmp_path / "b")


def test_a_plain_checkpoint_pools_by_mean_with_a_warning(tiny_model, caplog):
    backbone = tiny_model.parent / "backbone"
    with caplog.at_level(logging.WARNING):
        encoder = load_encoder(backbone, device="cpu")
    assert "using mean pooling" in caplog.text
    assert np.allclose(encoder.encode(TEXTS), load_encoder(tiny_model, device="cpu").encode(TEXTS), atol=1e-6)


def test_a_chosen_pooling_replaces_the_models(tiny_model, caplog):
    encoder = load_encoder(tiny_model.parent / "backbone", device="cpu", pooling="cls")
    assert "using" not in caplog.text
    ids = encoder.tokenizer(["one two"], return_tensors="pt")
    with torch.inference_mode():
        first = encoder.module[0].auto_model(**ids).last_hidden_state[0, 0].numpy()
    assert np.allclose(encoder.encode(["one two"])[0], first / np.linalg.norm(first), atol=1e-5)


def test_a_dot_product_model_is_not_normalised(tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "dot")
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps(modules[:2]))
    config = json.loads((folder / "config_sentence_transformers.json").read_text())
    config["similarity_fn_name"] = "dot"
    (folder / "config_sentence_transformers.json").write_text(json.dumps(config))
    encoder = load_encoder(folder, device="cpu")
    assert not encoder.normalized
    assert not np.allclose(np.linalg.norm(encoder.encode(TEXTS), axis=1), 1, atol=0.01)


def test_any_other_pipeline_goes_through_the_library():
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import BoW

    module = SentenceTransformer(modules=[BoW(vocab=["cat", "dog", "fox"])], device="cpu")
    encoder = local.LocalEncoder(module, name="bow", prompts=Prompts())
    assert np.allclose(encoder.encode(["cat dog", "fox"]), [[0.5**0.5, 0.5**0.5, 0], [0, 0, 1]], atol=1e-6)


@pytest.mark.parametrize("damage", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_damaged_folder_is_one_typed_error(tiny_model, tmp_path, damage):
    folder = shutil.copytree(tiny_model, tmp_path / "damaged")
    (folder / damage).write_bytes(b"\x00broken")
    with pytest.raises(ModelError, match="does not load") as error:
        load_encoder(folder, device="cpu")
    assert str(folder) in error.value.where

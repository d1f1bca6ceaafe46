"""The fused bf16 pass against the library's own forward pass, and when it must step aside."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from embedlib.models.fused import FusedBert, agrees, supports
from embedlib.models.hardware import cpu_flags
from embedlib.models.local import load_encoder

pytestmark = pytest.mark.skipif(
    not cpu_flags() & {"amx_bf16", "avx512_bf16"}, reason="this processor has no bf16 products"
)
TEXTS = ["a cat", "the quick brown fox jumps over the lazy dog", "b", "one two three four", "dog " * 80]


def cosines(a, b):
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@pytest.fixture(scope="module")
def strong_model(tiny_model, tmp_path_factory):
    """The tiny model with weights large enough for every layer to matter."""
    encoder = load_encoder(tiny_model, device="cpu")
    with torch.no_grad():
        for name, weight in encoder.module[0].auto_model.encoder.named_parameters():
            if weight.ndim == 2:
                weight.mul_(8)
            elif "LayerNorm" not in name:
                weight.uniform_(-0.5, 0.5, generator=torch.Generator().manual_seed(len(name)))
    folder = tmp_path_factory.mktemp("strong")
    encoder.save(folder)
    return folder


@pytest.fixture
def fast(strong_model):
    return load_encoder(strong_model, device="cpu", dtype="bf16")


def test_it_is_used_and_gives_the_fp32_vectors(fast, strong_model):
    assert fast._fused is not None
    expected = load_encoder(strong_model, device="cpu").encode(TEXTS)
    assert cosines(fast.encode(TEXTS), expected).min() > 0.999
    assert (expected @ expected.T)[~np.eye(5, dtype=bool)].max() < 0.98  # the texts are told apart


@pytest.mark.parametrize("kind", ["Roberta", "XLMRoberta"])
def test_positions_of_the_roberta_family(kind):
    import transformers

    torch.manual_seed(1)
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=500,
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=96,
        max_position_embeddings=66,
        pad_token_id=1,
        type_vocab_size=1,
    )
    model = getattr(transformers, f"{kind}Model")(config).eval()
    ids = torch.randint(5, 500, (3, 64))
    mask = (torch.arange(64)[None] < torch.tensor([[64], [20], [1]])).long()
    ids[mask == 0] = 1
    with torch.inference_mode():
        own = model(input_ids=ids, attention_mask=mask).last_hidden_state
        ours = FusedBert(model)(ids, mask)
    assert torch.nn.functional.cosine_similarity(own, ours, dim=-1)[mask == 1].min() > 0.998


def test_padding_has_no_influence(fast):
    ids = torch.tensor([[101, 2000, 3000, 102]])
    padded = torch.tensor([[101, 2000, 3000, 102, 7, 7], [101, 5, 6, 7, 8, 102]])
    mask = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]])
    with torch.inference_mode():
        alone = fast._fused(ids, torch.ones_like(ids))
        together = fast._fused(padded, mask)[:1, :4]
    assert torch.allclose(alone, together, atol=0.05)


def test_changed_weights_are_seen(fast):
    before = fast.encode(["one two three"])
    with torch.no_grad():
        fast.module[0].auto_model.encoder.layer[0].output.dense.weight.mul_(-3)
    fast.accelerate()
    changed = fast.encode(["one two three"])
    expected = fast.module.encode(["one two three"])
    assert cosines(changed, expected)[0] > 0.999 > cosines(before, expected)[0]


def test_overflow_falls_back_to_the_library(fast, monkeypatch):
    with torch.no_grad():  # scores beyond 2^128
        fast.module[0].auto_model.encoder.layer[0].attention.self.query.weight.mul_(1e5)
        fast._fused._copy_weights()
    features = fast._tokenizing.features([[101, 2000, 3000, 102]], "cpu")
    with torch.inference_mode():
        assert not torch.isfinite(fast._fused(features["input_ids"], features["attention_mask"])).all()
    expected = fast.module.encode(TEXTS)
    assert np.allclose(fast.encode(TEXTS), expected, atol=1e-5)


def test_texts_beyond_its_length_go_through_the_library(fast, strong_model):
    fast._fused.longest = 8
    expected = load_encoder(strong_model, device="cpu").encode(TEXTS)
    found = cosines(fast.encode(TEXTS), expected)
    assert found[-1] > 0.9999999
    assert found.min() > 0.999


def test_a_model_it_does_not_compute_is_declined(fast):
    backbone = fast.module[0].auto_model
    assert supports(backbone)
    backbone.config.hidden_act = "relu"
    assert not supports(backbone)
    assert not supports(torch.nn.Linear(2, 2))
    assert not supports(None)


def test_a_pytorch_without_the_operators_gives_the_same_vectors_by_the_library(
    fast, strong_model, monkeypatch
):
    expected = fast.encode(TEXTS)
    monkeypatch.setattr("embedlib.models.fused._OPERATORS", ("_linear_pointwise", "_no_longer_there"))
    slow = load_encoder(strong_model, device="cpu", dtype="bf16")
    assert (fast._fused is None, slow._fused is None) == (False, True)
    assert cosines(slow.encode(TEXTS), expected).min() > 0.999


def test_the_probe_detects_a_wrong_pass(fast):
    backbone = fast.module[0].auto_model
    assert agrees(fast._fused, backbone)
    fast._fused.layers.pop()
    assert not agrees(fast._fused, backbone)

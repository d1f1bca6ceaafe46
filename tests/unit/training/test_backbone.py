"""What training sets otherwise in a model: groups of like length give the same embeddings and gradients."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from embedlib.evaluation.dev import DevSet
from embedlib.models.local import load_encoder
from embedlib.training.backbone import OURS, embed_by_length, like_lengths, plain_attention
from embedlib.training.loop import dev_score

TEXTS = ["one", "a few more words here", "two", "many words " * 20, "three words now", "words " * 19]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=9), st.integers(0, 40))
def test_no_other_cut_of_lengths_costs_less(lengths, overhead):
    lengths.sort()

    def cost(cuts):
        return sum((e - b) * lengths[e - 1] + overhead for b, e in itertools.pairwise(cuts))

    inner = range(1, len(lengths))
    every = [
        [0, *some, len(lengths)] for n in range(len(lengths)) for some in itertools.combinations(inner, n)
    ]
    assert cost(like_lengths(lengths, overhead)) == min(map(cost, every))


@pytest.mark.parametrize("overhead", [0, 40, 10**6])
def test_groups_of_like_length_change_neither_embeddings_nor_gradients(tiny_model, overhead):
    whole, grouped = (load_encoder(tiny_model, device="cpu").module for _ in range(2))
    embed_by_length(grouped, overhead)
    gradients = []
    for module in (whole, grouped):
        module.eval()
        vectors = module(module.preprocess(TEXTS))["sentence_embedding"]
        (vectors * torch.arange(1.0, 33.0)).sum().backward()
        gradients.append((vectors.detach(), module[0].auto_model.encoder.layer[0].output.dense.weight.grad))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_grouping_saves_the_padding_of_short_texts(tiny_model):
    module = load_encoder(tiny_model, device="cpu").module
    embed_by_length(module, 8)
    seen = []
    module[0].register_forward_pre_hook(lambda _, args: seen.append(args[0]["input_ids"].numel()))
    features = module.preprocess(TEXTS)
    module(features)
    assert sum(seen) < features["input_ids"].numel() / 2


def test_attention_as_products_is_the_librarys_attention(tiny_model):
    library, ours = (load_encoder(tiny_model, device="cpu").module for _ in range(2))
    plain_attention(ours)
    assert ours[0].auto_model.config._attn_implementation == OURS
    gradients = []
    for module in (library, ours):
        module.eval()
        vectors = module(module.preprocess(TEXTS))["sentence_embedding"]
        (vectors * torch.arange(1.0, 33.0)).sum().backward()
        gradients.append(
            (vectors.detach(), module[0].auto_model.encoder.layer[0].attention.self.key.weight.grad)
        )
    for mine, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-4)


def test_an_unknown_architecture_keeps_the_librarys_own_products(tiny_model):
    module = load_encoder(tiny_model, device="cpu").module
    module[0].auto_model.config.model_type = "something new"
    plain_attention(module)
    assert module[0].auto_model.config._attn_implementation == "eager"


def test_dev_figures_are_of_the_weights_in_training_not_of_the_packed_copy(tiny_model):
    """Accelerated encoders keep a copy of the weights; the dev figure must follow every step."""
    encoder = load_encoder(tiny_model, device="cpu")
    encoder.accelerate()
    if not encoder.accelerated:
        pytest.skip("this processor has no bf16 products to pack weights for")
    dev = DevSet(["a"], ["one two three"], ["x", "y"], TEXTS[:2], {"a": {"x": 1}})
    dev_score(dev, encoder, bf16=True)
    with torch.no_grad():
        for parameter in encoder.module.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    plain = load_encoder(tiny_model, device="cpu")
    plain.module.load_state_dict(encoder.module.state_dict())
    dev_score(dev, encoder, bf16=True)
    assert encoder.accelerated
    cosines = (encoder.encode_documents(TEXTS) * plain.encode_documents(TEXTS)).sum(axis=1)
    assert np.all(cosines > 0.99)

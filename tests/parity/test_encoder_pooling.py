"""Our pooling functions against sentence-transformers' Pooling module, the pinned oracle.

Mapping: ``options.SENTENCE_TRANSFORMERS_NAMES``. Negative control: a strategy against another's name.
"""

from __future__ import annotations

import pytest
import torch

from embedlib.models.options import SENTENCE_TRANSFORMERS_NAMES, STRATEGIES
from embedlib.models.pooling import pooling


def oracle(name, states, mask):
    from sentence_transformers.sentence_transformer.modules import Pooling

    features = {"token_embeddings": states.clone(), "attention_mask": mask.clone()}
    return Pooling(states.shape[-1], pooling_mode=name)(features)["sentence_embedding"]


def batch(left):
    generator = torch.Generator().manual_seed(7)
    states = torch.randn(6, 9, 16, generator=generator)
    lengths = torch.tensor([9, 1, 4, 7, 2, 5])
    mask = (torch.arange(9)[None] < lengths[:, None]).long()
    return states, mask.flip(1) if left else mask


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_equals_the_library(strategy, left):
    states, mask = batch(left)
    expected = oracle(SENTENCE_TRANSFORMERS_NAMES[strategy], states, mask)
    assert torch.allclose(pooling(strategy)(states, mask), expected, atol=1e-5)


def test_negative_control():
    states, mask = batch(left=False)
    for strategy in STRATEGIES:
        for other in STRATEGIES:
            if other != strategy:
                expected = oracle(SENTENCE_TRANSFORMERS_NAMES[other], states, mask)
                assert not torch.allclose(pooling(strategy)(states, mask), expected, atol=1e-3)

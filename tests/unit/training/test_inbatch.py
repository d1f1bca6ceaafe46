"""The in-batch loss: precision of the replayed pass, and one column or two."""

from __future__ import annotations

import pytest
import torch
from sentence_transformers import SentenceTransformerTrainer

from embedlib.models.local import load_encoder
from embedlib.models.tokens import Tokenizing
from embedlib.training.collate import ColumnTokenizer
from embedlib.training.inbatch import InBatchLoss, info_nce


def test_gradient_caching_replays_in_the_precision_of_the_first_pass(tiny_model):
    module = load_encoder(tiny_model).module
    seen: list[tuple[bool, torch.dtype]] = []
    module[0].register_forward_hook(lambda layer, given, out: seen.append(_precision()))
    loss = InBatchLoss(module, info_nce, scale=20.0, mini_batch_tokens=8, cached=True)
    features = [module.preprocess(["otters swim", "owls fly"]), module.preprocess(["they swim", "they fly"])]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(features, torch.eye(2))
    assert torch.is_autocast_enabled("cpu") is False
    value.backward()  # as a trainer does: outside autocast
    assert len(seen) >= 4  # every mini-batch twice
    assert set(seen) == {(True, torch.bfloat16)}


@pytest.mark.parametrize("cached", [False, True])
def test_queries_and_documents_in_one_column_give_the_loss_and_gradient_of_two(tiny_model, cached):
    queries, documents = ["otters swim in the cold river", "owls fly"], ["they swim", "they fly", "no"]
    found = []
    for one in (True, False):
        encoder = load_encoder(tiny_model)
        plain = Tokenizing(encoder.tokenizer, encoder.max_length) if one else None
        tokenizer = ColumnTokenizer(encoder.module.preprocess, "query: ", "", plain=plain)
        features, labels = by_column(tokenizer.both(queries, documents)), torch.eye(2, 3)
        assert len(features) == (1 if one else 2)
        loss = InBatchLoss(encoder.module, info_nce, scale=20.0, mini_batch_tokens=12, cached=cached)
        value = loss(features, labels)
        value.backward()
        gradient = encoder.module[0].auto_model.encoder.layer[0].output.dense.weight.grad
        found.append((value.detach(), gradient))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def by_column(batch):
    """Features as the library's trainer collects them from a batch."""
    return SentenceTransformerTrainer.collect_features(None, batch)[0]


def _precision() -> tuple[bool, torch.dtype]:
    return torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")

"""The in-batch loss: precision of the replayed pass."""

from __future__ import annotations

import torch

from embedlib.models.local import load_encoder
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


def _precision() -> tuple[bool, torch.dtype]:
    return torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")

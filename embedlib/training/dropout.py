"""Dropout of a model in training."""

from __future__ import annotations

from torch import nn

#: Rates that attention layers keep as plain numbers rather than as ``nn.Dropout``.
ATTENTION_RATES = ("attention_dropout", "dropout_prob", "attn_dropout")


def set_dropout(module: nn.Module, rate: float) -> None:
    """Give every dropout of a model one rate.

    Dropout inside attention rules out fused kernels: scores of every pair of tokens are then kept
    for the backward pass, and a CPU draws their random numbers on one core. At rate 0 a step of
    all-MiniLM-L6-v2 is several times as fast in a fraction of the memory.

    Args:
        module: The model, changed in place.
        rate: Share of activations dropped, in [0, 1).
    """
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = rate
        for name in ATTENTION_RATES:
            if isinstance(getattr(part, name, None), float):
                setattr(part, name, rate)

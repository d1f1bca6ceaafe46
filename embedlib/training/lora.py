"""Low-rank adapters (LoRA, arXiv 2106.09685): put in before training, merged into the weights after."""

from __future__ import annotations

from typing import TYPE_CHECKING

from embedlib.training.options import LoraOptions

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import nn

#: Part of the name of every adapter weight (peft).
MARK = "lora_"


def add_adapters(module: SentenceTransformer, options: LoraOptions) -> None:
    """Give every linear layer of the transformer an adapter; only adapters learn from then on."""
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(
        r=options.rank, lora_alpha=options.alpha, lora_dropout=options.dropout, target_modules="all-linear"
    )
    inject_adapter_in_model(config, module.transformers_model)


def has_adapters(module: nn.Module) -> bool:
    """Whether the model holds adapters that are not merged."""
    return any(MARK in name for name, _ in module.named_parameters())


def merge_adapters(module: SentenceTransformer) -> None:
    """Add the adapters to the weights and take them out; a model without adapters stays as it is."""
    from peft.tuners.lora import LoraLayer

    places = [
        (parent, name, child)
        for parent in module.modules()
        for name, child in parent.named_children()
        if isinstance(child, LoraLayer)
    ]
    for parent, name, layer in places:
        layer.merge()
        setattr(parent, name, layer.get_base_layer())
    for parameter in module.parameters():
        parameter.requires_grad_(True)

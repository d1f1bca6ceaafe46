"""What of a model is set otherwise for training: dropout, padding, and on a CPU attention."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

#: Rates that attention layers keep as plain numbers rather than as ``nn.Dropout``.
ATTENTION_RATES = ("attention_dropout", "dropout_prob", "attn_dropout")
#: Architectures whose attention is nothing but ``products``, and the name it is known by.
PLAIN, OURS = frozenset({"bert", "roberta", "xlm-roberta", "camembert"}), "embedlib_products"
#: What a further group of texts costs, in tokens: a CPU writes the token embeddings' gradient whole, as
#: it is dense; a GPU waits for its kernels to be launched.
OVERHEAD_TOKENS = {"cpu": 1024, "cuda": 16_384}


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


def faster_steps(module: Any, *, bf16: bool) -> None:
    """What makes a training step faster and changes no result.

    Args:
        module: The sentence-transformers model on its device, changed in place.
        bf16: bf16 autocast.
    """
    device = module.device.type
    embed_by_length(module, OVERHEAD_TOKENS.get(device, OVERHEAD_TOKENS["cuda"]))
    if bf16 and device == "cpu":
        plain_attention(module)


def plain_attention(module: Any) -> None:
    """Attention as batched products, where the backbone can: on a CPU in bf16 two to three times as fast.

    The fused kernel's backward pass makes a matrix product a head and text; at 22 tokens a text a
    step of all-MiniLM-L6-v2 took 1.0 s with it and .35 s without. The library's own products
    ("eager") compute most of it in fp32; at 185 tokens a step took 12.7 s with them, 9.6 s with ours.

    Args:
        module: The sentence-transformers model, changed in place.
    """
    backbone = getattr(module[0], "auto_model", None)
    if backbone is None or not hasattr(backbone, "set_attn_implementation"):
        return
    if backbone.config.model_type not in PLAIN:
        backbone.set_attn_implementation("eager")
        return
    AttentionInterface.register(OURS, products)
    AttentionMaskInterface.register(OURS, eager_mask)
    backbone.set_attn_implementation(OURS)
    for layer in backbone.base_model.encoder.layer:
        layer.attention.self.register_forward_pre_hook(_cast_once)


def _cast_once(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Autocast would cast a layer's input for each of query, key and value."""
    if not torch.is_autocast_enabled("cpu"):
        return inputs
    return (inputs[0].to(torch.get_autocast_dtype("cpu")), *inputs[1:])


def products(
    layer: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **options: Any,
) -> tuple[Tensor, Tensor]:
    """softmax(q k' * scaling + mask) v, all in the precision of its inputs.

    Autocast would make the softmax and everything around it fp32: at 185 tokens per text, more of a
    step's time than the products themselves.

    Args:
        layer: The attention layer.
        query: [b, heads, t, d].
        key: [b, heads, t, d].
        value: [b, heads, t, d].
        attention_mask: Added to the scores, broadcast to [b, heads, t, t]; None = no padding.
        scaling: Default: 1 / sqrt(d).
        dropout: Share of weights dropped in training.
        **options: Of other kinds of attention; unused in the architectures of ``PLAIN``.

    Returns:
        [b, t, heads, d], and the weights [b, heads, t, t].
    """
    with torch.autocast(query.device.type, enabled=False):
        scale = scaling if scaling is not None else query.shape[-1] ** -0.5
        scores = (query * scale) @ key.transpose(2, 3)
        if attention_mask is not None:
            scores = scores + attention_mask.to(scores.dtype)
        weights = torch.softmax(scores, dim=-1)
        kept = nn.functional.dropout(weights, dropout, training=layer.training) if dropout else weights
        return (kept @ value).transpose(1, 2).contiguous(), weights


def embed_by_length(module: Any, overhead: int) -> None:
    """Embed every batch in groups of texts of like length, so that little of the work is padding.

    A batch is as wide as its longest text: with 24 tokens per text on average and one of 123, four
    fifths of a batch were padding, and a step took three times as long.

    Args:
        module: The sentence-transformers model, embedding or cross-encoder; its ``forward`` is replaced.
        overhead: What a further group costs, in tokens.
    """
    whole = module.forward

    def forward(features: dict[str, Any], **options: Any) -> dict[str, Any]:
        mask = features.get("attention_mask")
        if not isinstance(mask, Tensor) or mask.ndim != 2:
            return cast("dict[str, Any]", whole(features, **options))
        places = torch.arange(1, mask.shape[1] + 1, device=mask.device)
        widths = (mask * places).amax(dim=1)  # leading padding is kept
        order = torch.argsort(widths, stable=True)
        cuts = like_lengths(widths[order].tolist(), overhead)
        parts = [
            whole(_rows(features, order[begin:end], int(widths[order[end - 1]])), **options)
            for begin, end in itertools.pairwise(cuts)
        ]
        name = "sentence_embedding" if "sentence_embedding" in parts[0] else "scores"
        return {**features, name: torch.cat([part[name] for part in parts])[torch.argsort(order)]}

    module.forward = forward


def like_lengths(lengths: Sequence[int], overhead: int) -> list[int]:
    """Cut sorted lengths into groups with the least cost: places × the group's longest + overhead.

    Args:
        lengths: Rising lengths.
        overhead: Cost of a group.

    Returns:
        Where groups begin, and the end.

    >>> like_lengths([5, 5, 6, 6, 90], 10)
    [0, 4, 5]
    """
    ends = [i for i in range(1, len(lengths) + 1) if i == len(lengths) or lengths[i] != lengths[i - 1]]
    best: dict[int, tuple[int, int]] = {0: (0, 0)}  # end of a group: (cost so far, where it begins)
    for end in ends:
        best[end] = min(
            (cost + (end - begin) * lengths[end - 1] + overhead, begin) for begin, (cost, _) in best.items()
        )
    cuts = [len(lengths)]
    while cuts[-1]:
        cuts.append(best[cuts[-1]][1])
    return cuts[::-1]


def _rows(features: dict[str, Any], rows: Tensor, width: int) -> dict[str, Any]:
    """Some rows of a batch's features, as wide as their longest."""
    shape = features["attention_mask"].shape
    return {
        name: value
        if not isinstance(value, Tensor) or value.ndim == 0 or len(value) != shape[0]
        else value[rows, :width]
        if value.shape[:2] == shape
        else value[rows]
        for name, value in features.items()
    }

"""From token states to one vector a text: each strategy one pure function.

Letters: b texts, t token positions, d components. ``tokens`` is [b, t, d], ``mask`` [b, t] with 1
for a real token and 0 for padding, which may stand on the right or on the left.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from embedlib.models.options import SENTENCE_TRANSFORMERS_NAMES, Strategy


def cls_pooling(tokens: Tensor, mask: Tensor) -> Tensor:
    """State of the first real token, [b, d]."""
    return _at(tokens, mask.int().argmax(dim=1))


def last_token_pooling(tokens: Tensor, mask: Tensor) -> Tensor:
    """State of the last real token, [b, d]; right under left padding too (decoders)."""
    steps = torch.arange(1, mask.shape[1] + 1, device=mask.device)
    return _at(tokens, (mask.int() * steps).argmax(dim=1))


def mean_pooling(tokens: Tensor, mask: Tensor) -> Tensor:
    """Mean of the real tokens' states, [b, d] (Reimers and Gurevych 2019, arXiv 1908.10084)."""
    return _sum(tokens, mask) / _count(mask)


def mean_sqrt_length_pooling(tokens: Tensor, mask: Tensor) -> Tensor:
    """Sum of the real tokens' states over the square root of their number, [b, d]."""
    return _sum(tokens, mask) / _count(mask).sqrt()


def max_pooling(tokens: Tensor, mask: Tensor) -> Tensor:
    """Largest value of each component over the real tokens, [b, d]."""
    return tokens.masked_fill(mask[:, :, None] == 0, float("-inf")).amax(dim=1)


def weighted_mean_pooling(tokens: Tensor, mask: Tensor) -> Tensor:
    """Mean weighted by position, 1 for the first real token (Muennighoff 2022, arXiv 2202.08904), [b, d]."""
    weights = mask.cumsum(dim=1) * mask  # [b, t]: 1, 2, 3 … over real tokens, 0 on padding
    return _sum(tokens, weights) / _count(weights)


def pooling(strategy: Strategy) -> Callable[[Tensor, Tensor], Tensor]:
    """The function of a strategy: (tokens [b, t, d], mask [b, t]) to [b, d]."""
    return _FUNCTIONS[strategy]


def pool(module: Any, features: dict[str, Any]) -> dict[str, Any] | None:
    """Stand in for a sentence-transformers ``Pooling`` of one strategy; None for any other module."""
    strategy = _STRATEGY_OF.get(module.pooling_mode) if type(module).__name__ == "Pooling" else None
    if strategy is None:
        return None
    vectors = pooling(strategy)(features["token_embeddings"], features["attention_mask"])
    return {**features, "sentence_embedding": vectors}


def _sum(tokens: Tensor, weights: Tensor) -> Tensor:
    return torch.einsum("btd,bt->bd", tokens.float(), weights.float())


def _count(weights: Tensor) -> Tensor:
    return weights.sum(dim=1, keepdim=True).float().clamp(min=1)  # [b, 1]


def _at(tokens: Tensor, index: Tensor) -> Tensor:
    return tokens[torch.arange(len(tokens), device=tokens.device), index]


_STRATEGY_OF: dict[Any, Strategy] = {name: strategy for strategy, name in SENTENCE_TRANSFORMERS_NAMES.items()}

_FUNCTIONS: dict[Strategy, Callable[[Tensor, Tensor], Tensor]] = {
    "cls": cls_pooling,
    "mean": mean_pooling,
    "max": max_pooling,
    "mean-sqrt-length": mean_sqrt_length_pooling,
    "last-token": last_token_pooling,
    "weighted-mean": weighted_mean_pooling,
}

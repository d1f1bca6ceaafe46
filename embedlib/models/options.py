"""Names of options, for configuration and code alike; imports nothing heavy."""

from __future__ import annotations

from typing import Literal, get_args

Strategy = Literal["cls", "mean", "max", "mean-sqrt-length", "last-token", "weighted-mean"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
Precision = Literal["fp32", "bf16"]

#: The same strategies' names in sentence-transformers' Pooling module.
SENTENCE_TRANSFORMERS_NAMES: dict[Strategy, str] = {
    "cls": "cls",
    "mean": "mean",
    "max": "max",
    "mean-sqrt-length": "mean_sqrt_len_tokens",
    "last-token": "lasttoken",
    "weighted-mean": "weightedmean",
}

"""Batches of texts for a request, and vectors as the ledger keeps them."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Sequence

import numpy as np

from embedlib.contracts import Floats

#: For batching and budgets; what is billed comes from the provider.
BYTES_PER_TOKEN = 3


def estimate_tokens(text: str) -> int:
    """A cautious number of tokens: UTF-8 bytes over 3 (English has about 4 a token, Chinese 3).

    >>> estimate_tokens("three words here")
    6
    """
    return math.ceil(len(text.encode()) / BYTES_PER_TOKEN)


def batch_texts(texts: Sequence[str], max_items: int, max_tokens: int) -> Iterator[list[str]]:
    """Consecutive batches of at most ``max_items`` texts and about ``max_tokens`` tokens.

    A text that is longer than ``max_tokens`` makes a batch of its own.

    >>> list(batch_texts(["aaaaaa", "bbb", "ccc", "ddd"], max_items=2, max_tokens=2))
    [['aaaaaa'], ['bbb', 'ccc'], ['ddd']]
    """
    batch: list[str] = []
    tokens = 0
    for text in texts:
        size = estimate_tokens(text)
        if batch and (len(batch) == max_items or tokens + size > max_tokens):
            yield batch
            batch, tokens = [], 0
        batch.append(text)
        tokens += size
    if batch:
        yield batch


def pack(vector: Floats) -> str:
    """float32 [d], little endian, as base64: a third of the size of JSON numbers, and exact."""
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


def unpack(packed: str) -> Floats:
    """The vector that ``pack`` packed, float32 [d]."""
    return np.frombuffer(base64.b64decode(packed), dtype="<f4")

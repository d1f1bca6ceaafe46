"""What a model costs: speed by batch size, size, memory. Measured, so never part of a result."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import median
from typing import Any

from embedlib.errors import DataError
from embedlib.memory import peak_memory_mb
from embedlib.models.local import LocalEncoder

BATCHES = (1, 8, 32)
REPEATS = 3


def measure_efficiency(
    encoder: LocalEncoder, texts: Sequence[str], *, batches: Sequence[int] = BATCHES, repeats: int = REPEATS
) -> dict[str, Any]:
    """Texts and tokens a second, and milliseconds a text at each batch size.

    Every call encodes different texts, because equal ones are encoded once; each figure is the
    median of ``repeats`` calls after one that warms up.

    Args:
        encoder: The model.
        texts: At least max(batches) texts as they are served.
        batches: Numbers of texts given at a time.
        repeats: Calls a batch size.

    Returns:
        JSON values: ``texts_per_s`` and ``tokens_per_s`` at the largest batch, ``ms_per_text``
        by batch size, ``parameters_m``, ``model_mb`` and this process's ``peak_memory_mb``.

    Raises:
        DataError: There are too few different texts.
    """
    unique = list(dict.fromkeys(texts))
    if len(unique) < max(batches):
        raise DataError("too few texts to measure speed", expected=str(max(batches)), found=str(len(unique)))
    encoder.encode_documents(unique[: max(batches)])
    ms = {str(size): round(1000 * _seconds_per_text(encoder, unique, size, repeats), 3) for size in batches}
    largest = str(max(batches))
    counts = encoder.count_tokens(unique[: max(batches)])
    tokens = float(counts.clip(max=encoder.max_length or counts.max()).mean())
    parameters = list(encoder.module.parameters())
    return {
        "texts_per_s": round(1000 / ms[largest], 2),
        "tokens_per_s": round(1000 * tokens / ms[largest], 1),
        "ms_per_text": ms,
        "parameters_m": round(sum(p.numel() for p in parameters) / 1e6, 2),
        "model_mb": round(sum(p.numel() * p.element_size() for p in parameters) / 2**20, 1),
        "peak_memory_mb": round(peak_memory_mb(), 1),
    }


def _seconds_per_text(encoder: LocalEncoder, texts: Sequence[str], size: int, repeats: int) -> float:
    spent = []
    for number in range(repeats):
        start = number * size % (len(texts) - size + 1)
        batch = texts[start : start + size]
        begun = time.perf_counter()
        encoder.encode_documents(batch)
        spent.append(time.perf_counter() - begun)
    return max(median(spent), 1e-9) / size

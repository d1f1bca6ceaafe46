"""What models cost to run here: speed, memory, size."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from embedlib.disk import folder_bytes
from embedlib.errors import DataError
from embedlib.models.encoder import Encoder

_MIB = 1 << 20


class Cost(NamedTuple):
    """What a model costs: texts a second, one query's milliseconds, and MB of its folder."""

    texts_per_s: float
    query_ms: float
    disk_mb: float


def compare_costs(
    models: Mapping[str, tuple[Encoder, Path]], texts: Sequence[str], rounds: int = 5
) -> dict[str, Cost]:
    """Costs of several models on the same texts, measured in turn so that a busy machine is fair to all.

    One round warms up, then the medians of ``rounds`` count.

    Raises:
        DataError: There is no text.
    """
    if not texts:
        raise DataError("nothing to measure with", where="compare_costs", expected="at least one text")
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in models}
    for _ in range(rounds + 1):
        for name, (encoder, _folder) in models.items():
            started = time.perf_counter()
            encoder.encode_documents(texts)
            between = time.perf_counter()
            encoder.encode_queries(texts[:1])
            seconds[name].append((between - started, time.perf_counter() - between))
    medians = {name: np.median(np.array(taken[1:]), axis=0) for name, taken in seconds.items()}
    return {
        name: Cost(len(texts) / max(float(bulk), 1e-9), 1000 * float(single), folder_mb(models[name][1]))
        for name, (bulk, single) in medians.items()
    }


def weights_mb(encoder: Encoder) -> float:
    """MiB that a model's weights take in memory; 0 behind an API."""
    module = getattr(encoder, "module", None)
    parameters = () if module is None else module.parameters()
    return float(sum(p.numel() * p.element_size() for p in parameters)) / _MIB


def folder_mb(folder: Path) -> float:
    """MiB of a folder's files."""
    return folder_bytes(folder) / _MIB

"""What a model costs to run here: speed by batch size, memory, size."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from embedlib.errors import DataError
from embedlib.memory import peak_memory_mb, reset_peak_memory
from embedlib.models.encoder import Encoder
from embedlib.models.selection import MeasuredCost

#: Calls that are timed at least, however long they take; their median is not one call's accident.
LEAST_CALLS = 3
_MIB = 1 << 20


@dataclass(frozen=True)
class Speed:
    """How fast texts are encoded in calls of one size.

    Args:
        batch_size: Texts a call.
        calls: Calls timed.
        ms_per_text: Median milliseconds of a call over the batch size.
        p95_ms: 95th percentile of a whole call, in milliseconds.
        texts_per_s: Texts over the time of all calls.
        tokens_per_s: Tokens likewise; None when the encoder does not count tokens.
    """

    batch_size: int
    calls: int
    ms_per_text: float
    p95_ms: float
    texts_per_s: float
    tokens_per_s: float | None


@dataclass(frozen=True)
class Efficiency:
    """What a model costs to run here.

    Args:
        model: Its name.
        speeds: By batch size.
        peak_memory_mb: Highest resident memory of this process while it encoded, in MiB.
        device_memory_mb: Highest memory allocated on its GPU, in MiB; None on a CPU or behind an API.
        parameters: Number of weights; None behind an API.
        weights_mb: MiB that they take in memory; None behind an API.
        disk_mb: MiB of its folder; None when no folder was given.
    """

    model: str
    speeds: list[Speed]
    peak_memory_mb: float
    device_memory_mb: float | None
    parameters: int | None
    weights_mb: float | None
    disk_mb: float | None

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, for reports."""
        return asdict(self)

    def measured(self) -> MeasuredCost:
        """The figures that ``recommend`` takes instead of its estimates: one text's latency, memory."""
        single = next((s.ms_per_text for s in self.speeds if s.batch_size == 1), None)
        return MeasuredCost(latency_ms=single, memory_mb=self.weights_mb)


def efficiency(
    encoder: Encoder,
    texts: Sequence[str],
    batch_sizes: Sequence[int] = (1, 8, 32, 128),
    *,
    seconds: float = 2.0,
    path: Path | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Efficiency:
    """Measure an encoder on texts like those it will see.

    Each batch size is run for about ``seconds``, after one call that is not timed. The process's
    peak memory is reset, so this does not belong inside a stage of the store.

    Args:
        encoder: Any encoder.
        texts: Different texts of the usual length; used round and round.
        batch_sizes: Texts a call.
        seconds: Time for each batch size.
        path: Its folder, for the size on disk.
        clock: Seconds, rising.

    Raises:
        DataError: There is no text, or a batch size below 1.
    """
    if not texts or any(size < 1 for size in batch_sizes):
        raise DataError(
            "nothing to measure with",
            where="efficiency",
            expected="at least one text and batch sizes of at least 1",
            found=f"{len(texts)} texts, batch sizes {list(batch_sizes)}",
        )
    encoder.encode_documents(texts[: min(len(texts), max(batch_sizes))])
    reset_peak_memory()
    _reset_device(encoder)
    speeds = [_speed(encoder, texts, size, seconds, clock) for size in batch_sizes]
    parameters, weights = _weights(encoder)
    return Efficiency(
        encoder.name, speeds, peak_memory_mb(), _device_peak(encoder), parameters, weights, _disk(path)
    )


def _speed(
    encoder: Encoder, texts: Sequence[str], size: int, seconds: float, clock: Callable[[], float]
) -> Speed:
    times: list[float] = []
    before = getattr(encoder, "tokens", None)
    for batch in _batches(texts, size):
        started = clock()
        encoder.encode_documents(batch)
        times.append(clock() - started)
        if len(times) >= LEAST_CALLS and sum(times) >= seconds:
            break
    total = max(sum(times), 1e-9)
    tokens = None if before is None else (encoder.tokens - before) / total  # type: ignore[attr-defined]
    return Speed(
        batch_size=size,
        calls=len(times),
        ms_per_text=1000 * float(np.median(times)) / size,
        p95_ms=1000 * float(np.percentile(times, 95)),
        texts_per_s=size * len(times) / total,
        tokens_per_s=tokens,
    )


def _batches(texts: Sequence[str], size: int) -> Iterator[list[str]]:
    """Batches of ``size`` texts without end; a number keeps texts that come again in a batch apart."""
    stream = cycle(texts)
    while True:
        batch = list(islice(stream, size))
        yield [f"{text} {i}" if i >= len(texts) else text for i, text in enumerate(batch)]


def _weights(encoder: Encoder) -> tuple[int | None, float | None]:
    module = getattr(encoder, "module", None)
    if module is None:
        return None, None
    parameters = list(module.parameters())
    count = sum(p.numel() for p in parameters)
    return count, sum(p.numel() * p.element_size() for p in parameters) / _MIB


def _on_gpu(encoder: Encoder) -> bool:
    module = getattr(encoder, "module", None)
    return module is not None and module.device.type == "cuda"


def _reset_device(encoder: Encoder) -> None:
    if _on_gpu(encoder):
        import torch

        torch.cuda.reset_peak_memory_stats(encoder.module.device)  # type: ignore[attr-defined]


def _device_peak(encoder: Encoder) -> float | None:
    if not _on_gpu(encoder):
        return None
    import torch

    return float(torch.cuda.max_memory_allocated(encoder.module.device)) / _MIB  # type: ignore[attr-defined]


def _disk(path: Path | None) -> float | None:
    if path is None:
        return None
    return sum(f.stat().st_size for f in path.rglob("*") if f.is_file()) / _MIB


class Cost(NamedTuple):
    """What a model costs: texts a second, one query's milliseconds, and MB of its folder."""

    texts_per_s: float
    query_ms: float
    disk_mb: float


def compare_costs(
    models: Mapping[str, tuple[Encoder, Path]], texts: Sequence[str], rounds: int = 5
) -> dict[str, Cost]:
    """Costs of several models on the same texts, measured in turn so that a busy machine is fair to all.

    Args:
        models: Encoder and folder by name.
        texts: What is encoded in each round.
        rounds: Rounds after one that is not counted; the medians count.

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
        name: Cost(len(texts) / max(float(bulk), 1e-9), 1000 * float(single), _disk(models[name][1]) or 0.0)
        for name, (bulk, single) in medians.items()
    }

"""Set an index's search parameters by measurement: the cheapest that reach the recall target."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from embedlib.contracts import Floats, Rows
from embedlib.index.dense import DenseIndex, faiss_threads
from embedlib.index.info import Point, SearchSettings
from embedlib.vectors import Vectors

EF_LADDER = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
RESCORE_LADDER = (1, 2, 4, 8, 16, 32, 64)


class Tuned(NamedTuple):
    """The settings that were chosen, their recall, and every setting that was measured."""

    settings: SearchSettings
    recall: float
    curve: list[Point]


def recall_at_k(found: Rows, truth: Rows) -> float:
    """Mean share of each query's true rows that were found; rows are int64 [q, k], -1 is no row."""
    shares = [
        len(np.intersect1d(f, t[t >= 0])) / max(int((t >= 0).sum()), 1)
        for f, t in zip(found, truth, strict=True)
    ]
    return float(np.mean(shares))


def tune(index: Any, vectors: Vectors, queries: Floats, truth: Rows, *, target: float) -> Tuned:
    """Walk up the ladders of search effort until recall@k reaches the target.

    A lossy index is first tuned with generous rescoring, which shows what its lists let through,
    then with as little rescoring as still reaches the target.

    Args:
        index: A FAISS index with all vectors added.
        vectors: The full vectors, for rescoring.
        queries: float32 [q, d].
        truth: Exact rows of these queries, [q, k].
        target: Recall@k to reach; when no setting does, the best one is returned.
    """
    measured: dict[SearchSettings, float] = {}

    def measure(settings: SearchSettings) -> float:
        search = DenseIndex(index, vectors, settings)
        recall = recall_at_k(search.search(queries, truth.shape[1], complete=False).rows, truth)
        measured[settings] = recall
        return recall

    def first(ladder: Iterator[SearchSettings]) -> SearchSettings:
        for settings in ladder:
            if measure(settings) >= target:
                return settings
        return max(measured, key=lambda settings: measured[settings])

    lossy = is_lossy(index, vectors)
    best = first(efforts(index, rescore=RESCORE_LADDER[-2] if lossy else 0))
    if lossy:
        # no rescoring is tried first where the index gives inner products itself
        rescores = (0, *RESCORE_LADDER) if index.metric_type == 0 else RESCORE_LADDER
        best = first(best.model_copy(update={"rescore": r}) for r in rescores)
    curve = [Point(settings=settings, recall=round(recall, 4)) for settings, recall in measured.items()]
    return Tuned(best, measured[best], curve)


def is_lossy(index: Any, vectors: Vectors) -> bool:
    """Whether the index holds less than the full vectors, so that rescoring can help."""
    import faiss

    inner = faiss.downcast_index(index)
    full = (faiss.IndexFlat, faiss.IndexIVFFlat, faiss.IndexHNSWFlat)
    return index.d < vectors.dimension or not isinstance(inner, full)


def efforts(index: Any, rescore: int) -> Iterator[SearchSettings]:
    """Settings of the index's own search parameter, cheapest first."""
    import faiss

    ivf = faiss.try_extract_index_ivf(index)
    if ivf is not None:
        width = 1
        while width < ivf.nlist:
            yield SearchSettings(parameter="nprobe", value=width, rescore=rescore)
            width *= 2
        yield SearchSettings(parameter="nprobe", value=ivf.nlist, rescore=rescore)
    elif isinstance(_innermost(index), faiss.IndexHNSW):
        for beam in EF_LADDER:
            yield SearchSettings(parameter="efSearch", value=beam, rescore=rescore)
    else:
        yield SearchSettings(rescore=rescore)


def latency_ms(index: DenseIndex, queries: Floats, k: int) -> float:
    """Median processor time of one query on one thread, in milliseconds, whatever else the machine does."""
    times = []
    with faiss_threads(1):
        for query in queries[:20].repeat(3, axis=0):
            started = time.thread_time()
            index.search(query[None, :], k)
            times.append(time.thread_time() - started)
    return float(np.median(times)) * 1000


def _innermost(index: Any) -> Any:
    import faiss

    inner = faiss.downcast_index(index)
    return _innermost(inner.index) if isinstance(inner, faiss.IndexPreTransform) else inner


def setting_label(settings: SearchSettings) -> str:
    """A setting in a few characters: ``efSearch=64 x4`` is 64 nodes explored, 4k candidates rescored."""
    name = "exact" if settings.parameter is None else f"{settings.parameter}={settings.value}"
    return f"{name} x{settings.rescore}" if settings.rescore else name


def plot_curve(curve: Sequence[Point], target: float, k: int, path: Path) -> None:
    """Draw recall@k of every setting that was measured, in the order of measuring."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot(range(len(curve)), [p.recall for p in curve], marker="o")
    axes.axhline(target, linestyle="--", color="grey", label=f"target {target:g}")
    axes.set_xticks(range(len(curve)), [setting_label(p.settings) for p in curve], rotation=60, fontsize=7)
    axes.set_ylabel(f"recall@{k} against exact search")
    axes.legend()
    figure.savefig(path, dpi=100, metadata={"Software": None})

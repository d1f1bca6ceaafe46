"""The recall curve of an index as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from embedlib.index.info import Point, SearchSettings


def label(settings: SearchSettings) -> str:
    """A setting in a few characters: ``efSearch=64 x4`` is 64 nodes explored, 4k candidates rescored."""
    name = "exact" if settings.parameter is None else f"{settings.parameter}={settings.value}"
    return f"{name} x{settings.rescore}" if settings.rescore else name


def plot_curve(curve: Sequence[Point], target: float, k: int, path: Path) -> None:
    """Draw recall@k of every setting that was measured, in the order of measuring.

    Args:
        curve: Measured points.
        target: Recall asked for, drawn as a line.
        k: Of recall@k.
        path: PNG file to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot(range(len(curve)), [p.recall for p in curve], marker="o")
    axes.axhline(target, linestyle="--", color="grey", label=f"target {target:g}")
    axes.set_xticks(range(len(curve)), [label(p.settings) for p in curve], rotation=60, fontsize=7)
    axes.set_ylabel(f"recall@{k} against exact search")
    axes.legend()
    figure.savefig(path, dpi=100, metadata={"Software": None})

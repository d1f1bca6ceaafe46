"""A histogram as a small picture, for pages that show Markdown."""

from __future__ import annotations

import io
from collections.abc import Sequence


def histogram_png(labels: Sequence[str], counts: Sequence[int], what: str) -> bytes:
    """Bars with a label each, as a PNG of about ten kilobytes.

    Args:
        labels: One per bar.
        counts: Height of each bar.
        what: Label of the axis below.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 2.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.bar(range(len(counts)), counts, width=0.9)
    axes.set_xticks(range(len(labels)), labels, fontsize=7)
    axes.set_xlabel(what)
    axes.spines[["top", "right"]].set_visible(False)
    picture = io.BytesIO()
    figure.savefig(picture, dpi=90, format="png", metadata={"Software": None})
    return picture.getvalue()

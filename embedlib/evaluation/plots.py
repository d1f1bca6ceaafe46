"""Plots as plain shapes: inline SVG paths and positions in percent, drawn by the page's own styles."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from embedlib.evaluation.significance import Interval


class Bar(NamedTuple):
    """One row of a forest plot: positions in percent of the track, and the text beside it."""

    label: str
    left: float
    width: float
    dot: float
    text: str
    tone: str
    note: str


class Forest(NamedTuple):
    """Rows on one scale; ``zero`` is the position of 0 in percent, None when it is outside."""

    bars: list[Bar]
    low: str
    high: str
    zero: float | None


class Line(NamedTuple):
    """A curve in a 0..100 box (y downwards) with the ends of its axes."""

    points: str
    dots: list[tuple[float, float]]
    x_low: str
    x_high: str
    y_low: str
    y_high: str
    area: str
    zero: float | None


class ScatterDot(NamedTuple):
    """One dot in a 0..100 box (y downwards) with the interval of its y."""

    label: str
    left: float
    top: float
    high: float
    low: float
    tone: str


class Scatter(NamedTuple):
    """Dots, the line through those that nothing beats in both x and y, and the ends of the axes."""

    dots: list[ScatterDot]
    front: str
    x_low: str
    x_high: str
    y_low: str
    y_high: str


def forest(
    rows: Sequence[tuple[str, Interval]], *, tones: Mapping[str, str] | None = None, signed: bool = False
) -> Forest:
    """Intervals as bars with a dot for the mean, on one scale.

    ``tones`` are style classes by label (``good``, ``bad``, ``main``); ``signed`` writes signs and keeps zero
    on the scale.
    """
    lows, highs = [i.low for _, i in rows], [i.high for _, i in rows]
    low, high = (min([*lows, 0.0]), max([*highs, 0.0])) if signed else (min(lows), max(highs))
    pad = (high - low) * 0.06 or 0.01
    low, high = low - pad, high + pad
    scale = 100 / (high - low)
    style = "+.4f" if signed else ".4f"
    bars = [
        Bar(
            label,
            round((i.low - low) * scale, 2),
            round(max(i.high - i.low, 0.0) * scale, 2),
            round((i.mean - low) * scale, 2),
            format(i.mean, style),
            (tones or {}).get(label, ""),
            f"{format(i.low, style)} to {format(i.high, style)}, n = {i.n}",
        )
        for label, i in rows
    ]
    zero = round(-low * scale, 2) if low <= 0 <= high else None
    return Forest(bars, format(low, ".3f"), format(high, ".3f"), zero)


def line(xs: Sequence[float], ys: Sequence[float], *, log_x: bool = False, digits: int = 4) -> Line | None:
    """A curve through the points; None for fewer than two, or when all x are equal.

    ``xs`` ascend, and ``log_x`` places them by their logarithm; ``digits`` are those of the vertical labels.
    """
    if len(xs) < 2 or xs[0] == xs[-1]:
        return None
    place = [math.log(x) for x in xs] if log_x else list(xs)
    low, high = min(ys), max(ys)
    span = (high - low) or max(abs(high), 1e-3) * 0.1
    low, high = low - span * 0.08, high + span * 0.08
    points = [
        (round(100 * (x - place[0]) / (place[-1] - place[0]), 3), round(100 * (high - y) / (high - low), 3))
        for x, y in zip(place, ys, strict=True)
    ]
    zero = round(100 * high / (high - low), 3) if low <= 0 <= high else None
    base = zero if zero is not None else 100
    path = " ".join(f"{x},{y}" for x, y in points)
    return Line(
        points=path,
        dots=points if len(points) <= 40 else [],
        x_low=f"{xs[0]:g}",
        x_high=f"{xs[-1]:g}",
        y_low=f"{min(ys):.{digits}f}",
        y_high=f"{max(ys):.{digits}f}",
        area=f"0,{base} {path} 100,{base}",
        zero=zero,
    )


def pareto(points: Sequence[tuple[str, float, Interval, str]]) -> Scatter | None:
    """A cost against what it buys, with the front; None for fewer than two different costs.

    Args:
        points: Label, cost (above 0, placed by its logarithm), value with its interval, and style class.
    """
    costs = [math.log(cost) for _, cost, _, _ in points]
    if len(set(costs)) < 2:
        return None
    left, right = min(costs), max(costs)
    low, high = min(i.low for _, _, i, _ in points), max(i.high for _, _, i, _ in points)
    height = (high - low) or 1e-3

    def top(value: float) -> float:
        return round(100 * (high - value) / height, 2)

    dots = [
        ScatterDot(
            label, round(100 * (x - left) / (right - left), 2), top(i.mean), top(i.high), top(i.low), tone
        )
        for x, (label, _, i, tone) in zip(costs, points, strict=True)
    ]
    front: list[ScatterDot] = []
    for dot in sorted(dots, key=lambda d: (d.left, d.top)):
        if not front or dot.top < front[-1].top:
            front.append(dot)
    return Scatter(
        dots,
        " ".join(f"{d.left},{d.top}" for d in front),
        f"{math.exp(left):.3g}",
        f"{math.exp(right):.3g}",
        f"{low:.3f}",
        f"{high:.3f}",
    )

"""Systems side by side: means with intervals, and paired comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from embedlib.contracts import Doubles
from embedlib.errors import DataError
from embedlib.evaluation.significance import (
    Interval,
    bootstrap_means,
    detectable_difference,
    effect_size,
    holm,
    randomization_tests,
)
from embedlib.evaluation.statistics import Resampling

Values = Mapping[str, Doubles]


@dataclass(frozen=True)
class Comparison:
    """One system against another on the same queries.

    Args:
        difference: Mean of system - baseline, with its interval.
        p: Two-sided p of the paired randomization test.
        p_holm: The same, adjusted for the comparisons made on this set and measure.
        effect_size: Mean over standard deviation of the differences; None when that is infinite.
        detectable: Smallest true difference found with 80% probability; None when there is none.
        better: Queries on which the system is better.
    """

    dataset: str
    measure: str
    system: str
    baseline: str
    difference: Interval
    p: float
    p_holm: float
    effect_size: float | None
    detectable: float | None
    better: int
    worse: int


def means(
    values: Mapping[str, Values], measures: Sequence[str], resampling: Resampling
) -> dict[str, dict[str, Interval]]:
    """Mean of each system on each measure, with its interval, all on the same resamples.

    ``values[system][measure]`` are [q].
    """
    keys = [(s, m) for s in values for m in measures]
    if not keys:
        return {}
    table = np.column_stack([values[s][m] for s, m in keys])
    intervals = dict(zip(keys, bootstrap_means(table, resampling), strict=True))
    return {s: {m: intervals[s, m] for m in measures} for s in values}


def compare(
    values: Mapping[str, Values],
    pairs: Sequence[tuple[str, str]],
    measures: Sequence[str],
    resampling: Resampling,
    *,
    dataset: str,
) -> list[Comparison]:
    """Compare systems pair by pair on each measure.

    ``values[system][measure]`` are [q], in one order of queries; ``pairs`` are (system, baseline) names.

    Raises:
        DataError: A named system was not evaluated.
    """
    _require(values, pairs)
    keys = [(m, s, b) for m in measures for s, b in pairs]
    if not keys:
        return []
    table = np.column_stack([values[s][m] - values[b][m] for m, s, b in keys])  # [q, comparisons]
    intervals = bootstrap_means(table, resampling)
    ps = randomization_tests(table, resampling)
    adjusted: dict[str, list[float]] = {
        m: holm([p for p, key in zip(ps, keys, strict=True) if key[0] == m]) for m in measures
    }
    result = []
    for column, (measure, system, baseline) in enumerate(keys):
        d = table[:, column]
        result.append(
            Comparison(
                dataset,
                measure,
                system,
                baseline,
                intervals[column],
                ps[column],
                adjusted[measure][pairs.index((system, baseline))],
                _finite_or_none(effect_size(d)),
                _finite_or_none(detectable_difference(d, level=resampling.level)),
                int((d > 0).sum()),
                int((d < 0).sum()),
            )
        )
    return result


def natural_pairs(systems: Sequence[str], served: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
    """Which comparisons answer the reader's questions.

    With a candidate: as it would be served against the others as served, it against everything, its
    hybrid against the other hybrids, and each model's hybrid against the model. Without one: every
    system against the first.

    ``served`` names the system that each model would be served as.

    Examples:
        >>> natural_pairs(["base", "candidate", "bm25", "hybrid:base", "hybrid:candidate"])[:2]
        [('candidate', 'base'), ('candidate', 'bm25')]
    """
    if "candidate" not in systems:
        return [(s, systems[0]) for s in systems[1:]]
    full = [s for s in systems if "@" not in s]
    pairs = [("candidate", s) for s in full if s not in {"candidate", "hybrid:candidate"}]
    pairs += [("hybrid:candidate", s) for s in full if s.startswith("hybrid:") and s != "hybrid:candidate"]
    pairs += [(s, s.removeprefix("hybrid:")) for s in reversed(full) if s.startswith("hybrid:")]
    pairs += [(s, "candidate") for s in systems if s.startswith("candidate@")]
    served = served or {}
    ours = served.get("candidate", "candidate")
    first = [(ours, other) for name, other in served.items() if name != "candidate" and other != ours]
    return list(dict.fromkeys([*first, *pairs]))


def _require(values: Mapping[str, Values], pairs: Sequence[tuple[str, str]]) -> None:
    missing = sorted({name for pair in pairs for name in pair} - set(values))
    if missing:
        raise DataError(f"systems that were not evaluated: {', '.join(missing)}", expected=", ".join(values))


def _finite_or_none(value: float) -> float | None:
    return value if np.isfinite(value) else None

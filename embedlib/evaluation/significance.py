"""Is one system better than another on the same queries? Paired intervals, tests and power.

In all of this ``a`` is the system in question and ``b`` the one it is compared with, both in the
same order of queries, so that a positive difference speaks for ``a``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from embedlib.contracts import Doubles
from embedlib.corpus.leaks import normalised
from embedlib.errors import DataError
from embedlib.evaluation.statistics import Resampling

#: Resampled values held at once: 2^21 float64 are 16 MiB, whatever the number of queries.
CHUNK = 1 << 21


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval, over ``n`` queries."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def ends(self) -> str:
        """Both ends with their signs, as sentences about a difference have them."""
        return f"{self.low:+.4f} to {self.high:+.4f}"


def paired_bootstrap(a: Doubles, b: Doubles, resampling: Resampling) -> Interval:
    """Expanded percentile interval of the mean difference a - b over resampled queries.

    Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13; expanded as in
    ``expanded_tail``.

    Args:
        a: Values of the system in question, [n].
        b: Values of the other system, [n].
        resampling: How it is drawn.

    Raises:
        DataError: Lengths differ, there is no query, or a value is not finite.
    """
    return bootstrap_mean(_differences(a, b), resampling)


def by_question(values: Doubles, texts: Sequence[str]) -> Doubles:
    """Values by distinct question, [c], of the same mean: asked under several ids it is one observation.

    Sums of clusters of queries, scaled so that their mean is the queries' (the ratio estimator of cluster
    sampling; Cochran, Sampling Techniques, 1977, chapter 9A); the values themselves where no question stands
    twice.

    Args:
        values: One a query, [q].
        texts: Their texts, [q].
    """
    x = np.asarray(values, dtype=np.float64)
    _, cluster = np.unique([normalised(text) for text in texts], return_inverse=True)
    count = int(cluster.max(initial=-1)) + 1
    sums = np.zeros(count)
    np.add.at(sums, cluster, x * count / max(len(x), 1))
    return x if count == len(x) else sums


def bootstrap_mean(values: Doubles, resampling: Resampling) -> Interval:
    """Expanded percentile interval of the mean of ``values``, [n]."""
    return bootstrap_means(_finite(values)[:, None], resampling)[0]


def bootstrap_means(values: Doubles, resampling: Resampling) -> list[Interval]:
    """Expanded percentile intervals of the mean of each column, on the same resamples of rows.

    Args:
        values: One row per query, one column per system or a difference, [n, m].
        resampling: How they are drawn.

    Raises:
        DataError: There is no row, or a value is not finite.
    """
    x = _finite_columns(values)
    n = len(x)
    means = np.concatenate([counts @ x / n for counts in resamples(n, resampling)])  # [draws, m]
    return [interval(m, drawn, n, resampling) for m, drawn in zip(x.mean(0), means.T, strict=True)]


def interval(mean: float, drawn: Doubles, n: int, resampling: Resampling) -> Interval:
    """A figure over n queries with the expanded percentile interval of its resamples, [draws]."""
    tail = expanded_tail(n, resampling.level)
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Interval(float(mean), float(low), float(high), n)


def expanded_tail(n: int, level: float) -> float:
    """Share of resamples to cut off at each end so that a small sample's interval is not too narrow.

    Φ(-t_{n-1} · √(n / (n-1))) with t the quantile of Student's distribution at (1 + level) / 2:
    Hesterberg, What Teachers Should Know About the Bootstrap (2015), section 4.1.2. Tends to
    (1 - level) / 2 for large n; one value has no spread to expand.
    """
    from scipy.stats import t

    if n < 2:
        return (1 - level) / 2
    return NormalDist().cdf(-float(t.ppf((1 + level) / 2, n - 1)) * math.sqrt(n / (n - 1)))


def resamples(n: int, resampling: Resampling) -> Iterator[Doubles]:
    """How often each of n queries stands in each resample, [<= draws, n] at a time."""
    for size in _sizes(n, resampling):
        drawn = resampling.rng.integers(0, n, size=(size, n), dtype=np.int32) + n * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)


def _sizes(n: int, resampling: Resampling) -> Iterator[int]:
    """How many draws of n values are held at a time."""
    step = max(1, CHUNK // n)
    return (min(step, resampling.draws - start) for start in range(0, resampling.draws, step))


def randomization_tests(values: Doubles, resampling: Resampling) -> list[float]:
    """Two-sided p-values of the paired randomization test: (1 + hits) / (1 + draws).

    Under the null hypothesis the two systems' values may be swapped query by query, so that each
    difference's sign is a fair coin. The observed labelling counts as one draw, without which p
    could be 0 (Phipson and Smyth, 2010).

    Args:
        values: One column per difference of two systems, [n, m]; rows are swapped in all at once.
        resampling: How many swaps, and where they are drawn from.

    Raises:
        DataError: There is no row, or a value is not finite.
    """
    d = _finite_columns(values)
    total = d.sum(axis=0)
    observed = np.abs(total) - 1e-9 * np.abs(d).sum(axis=0)  # the same sum in another order is no less
    hits = np.zeros(d.shape[1], dtype=np.int64)
    for size in _sizes(len(d), resampling):
        heads = resampling.rng.integers(0, 2, size=(size, len(d)), dtype=np.int8).astype(np.float64)
        hits += (np.abs(2 * (heads @ d) - total) >= observed).sum(axis=0)
    return [float(p) for p in (1 + hits) / (1 + resampling.draws)]


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the order given (Holm, 1979).

    Examples:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(ps)), key=lambda i: ps[i])
    adjusted = [0.0] * len(ps)
    highest = 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[i]))
        adjusted[i] = highest
    return adjusted


def effect_size(d: Doubles) -> float:
    """Cohen's d_z: mean of the differences over their standard deviation; 0 when they are all 0."""
    spread = float(d.std(ddof=1)) if len(d) > 1 else 0.0
    if spread < 1e-12:
        return 0.0 if abs(d.mean()) < 1e-12 else math.copysign(math.inf, d.mean())
    return float(d.mean() / spread)


def standard_error(d: Doubles) -> float:
    """Of the mean of n >= 2 values: s / √n, with s their standard deviation."""
    return float(d.std(ddof=1) / math.sqrt(len(d)))


def detectable_difference(d: Doubles, *, level: float = 0.95, power: float = 0.8) -> float:
    """Smallest true difference that this test set would have shown, with probability ``power``.

    (z_{(1+level)/2} + z_power) · s / √n with s the standard deviation of the paired differences;
    Sakai, Laboratory Experiments in Information Retrieval (2018), chapter 6. Infinite for one query.
    """
    if len(d) < 2:
        return math.inf
    z = NormalDist().inv_cdf
    return (z((1 + level) / 2) + z(power)) * standard_error(d)


def _differences(a: Doubles, b: Doubles) -> Doubles:
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape != b.shape:
        raise DataError(
            "paired values must be of the same queries", expected=f"{a.shape}", found=f"{b.shape}"
        )
    return _finite(a) - _finite(b)


def _finite(values: Doubles) -> Doubles:
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1:
        raise DataError("expected one value a query", expected="[n]", found=f"shape {x.shape}")
    return _finite_columns(x[:, None])[:, 0]


def _finite_columns(values: Doubles) -> Doubles:
    x = np.asarray(values, dtype=np.float64)
    if len(x) == 0:
        raise DataError("no judged query to compare on", expected="one value a query", found="none")
    bad = ~np.isfinite(x).all(axis=1)
    if bad.any():
        where = int(np.flatnonzero(bad)[0])
        raise DataError(
            "a query's value is not finite", where=f"query number {where}", found=str(x[where].tolist())
        )
    return x

"""Have the queries drifted from those the model was trained for? Pure functions on samples.

Letters: n reference vectors, m recent ones, d components, P permutations.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from embedlib.contracts import Doubles, Floats
from embedlib.errors import DataError

_WORD = re.compile(r"[^\W_]+")


class Drift(NamedTuple):
    """Result of the energy test.

    Args:
        energy: Squared energy distance, >= 0.
        effect: Energy coefficient of inhomogeneity, in [0, 1]; 0 for equal distributions.
        p_value: Share of relabellings at least as far apart, (1 + hits) / (1 + P).
        reference: Sample size n.
        recent: Sample size m.
    """

    energy: float
    effect: float
    p_value: float
    reference: int
    recent: int


def energy_test(
    reference: Floats, recent: Floats, *, rng: np.random.Generator, permutations: int = 999
) -> Drift:
    """Energy distance between two samples of vectors, with a permutation test.

    Energy distance: E = 2 E|X-Y| - E|X-X'| - E|Y-Y'| (Székely and Rizzo, 2013, "Energy statistics: a
    class of statistics based on distances"); coefficient of inhomogeneity H = E / (2 E|X-Y|). With
    w = 1/n on the reference and -1/m on the recent sample, E = -w' D w for the distance matrix D,
    so that D is computed once for all permutations.

    Args:
        reference: Vectors of the training queries [n, d].
        recent: Vectors of recent queries [m, d].
        rng: Randomness of the permutations.
        permutations: P; the smallest p-value is 1 / (1 + P).

    Raises:
        DataError: A sample has fewer than two vectors, the dimensions differ, or a value is not finite.
    """
    _check_samples(reference, recent)
    n, m = len(reference), len(recent)
    distances = _distances(np.concatenate([reference, recent]).astype(np.float64))  # [n + m, n + m]
    weights = np.concatenate([np.full(n, 1 / n), np.full(m, -1 / m)])  # [n + m]
    observed = _energy(weights[None, :], distances)[0]
    shuffled = rng.permuted(np.tile(weights, (permutations, 1)), axis=1)  # [P, n + m]
    hits = int(np.sum(_energy(shuffled, distances) >= observed - 1e-12))
    between = float(distances[:n, n:].mean())
    effect = float(observed / (2 * between)) if between > 0 else 0.0
    return Drift(float(observed), effect, (1 + hits) / (1 + permutations), n, m)


def _energy(weights: Doubles, distances: Doubles) -> Doubles:
    energy = -np.einsum("pi,pi->p", weights @ distances, weights)
    return np.asarray(np.maximum(energy, 0.0))


def _distances(vectors: Doubles) -> Doubles:
    """Euclidean distance of each pair of rows."""
    squares = (vectors**2).sum(axis=1)
    squared = squares[:, None] + squares[None, :] - 2 * vectors @ vectors.T
    np.fill_diagonal(squared, 0.0)
    return np.asarray(np.sqrt(np.maximum(squared, 0.0)))


def _check_samples(reference: Floats, recent: Floats) -> None:
    for name, sample in (("reference", reference), ("recent", recent)):
        if sample.ndim != 2 or len(sample) < 2:
            raise DataError(
                f"too few {name} queries to test for drift",
                expected="at least 2 vectors",
                found=f"shape {sample.shape}",
                remedy="wait until more queries are logged",
            )
        if not np.isfinite(sample).all():
            row = int(np.flatnonzero(~np.isfinite(sample).all(axis=1))[0])
            raise DataError(f"the {name} sample's vector {row} is not finite", expected="finite numbers")
    if reference.shape[1] != recent.shape[1]:
        raise DataError(
            "the two samples were not encoded by one model",
            expected=f"dimension {reference.shape[1]}",
            found=f"dimension {recent.shape[1]}",
        )


def words(text: str) -> list[str]:
    """Lower-case words: runs of letters and digits.

    >>> words("Naïve 2-core CPU_time")
    ['naïve', '2', 'core', 'cpu', 'time']
    """
    return _WORD.findall(text.casefold())


def vocabulary(texts: Iterable[str]) -> frozenset[str]:
    """Every word of the texts."""
    found: set[str] = set()
    for text in texts:
        found.update(words(text))
    return frozenset(found)


def out_of_vocabulary(texts: Sequence[str], known: frozenset[str]) -> float:
    """Share of the texts' words (every occurrence) that the vocabulary lacks; 0 without words."""
    tokens = [word for text in texts for word in words(text)]
    return sum(word not in known for word in tokens) / len(tokens) if tokens else 0.0

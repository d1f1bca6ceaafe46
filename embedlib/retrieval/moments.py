"""Mean and deviation of a query's scores over a whole corpus, which make scores comparable.

Standardised over the corpus rather than over a list of hits, the scores of any two documents can
be compared and added, whichever list they came from.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from embedlib.contracts import Doubles, Floats
from embedlib.errors import CorruptArtifact


class Moments(NamedTuple):
    """Mean and standard deviation of each query's scores over the corpus, float32 [q] each."""

    mean: Floats
    std: Floats

    @classmethod
    def of(cls, scores: Floats) -> Moments:
        """Moments of the scores of every document, [q, n]."""
        wide = scores.astype(np.float64)
        return cls(wide.mean(axis=1).astype(np.float32), wide.std(axis=1).astype(np.float32))

    def standardise(self, scores: Floats) -> Floats:
        """(score - mean) / std for scores [q, c]; 0 where the deviation is 0."""
        spread = np.where(self.std > 0, self.std, np.inf)[:, None]
        z: Floats = ((scores - self.mean[:, None]) / spread).astype(np.float32)
        return z


class VectorMoments(NamedTuple):
    """Mean [d] and covariance [d, d] of the corpus vectors, float64."""

    mean: Doubles
    covariance: Doubles

    def of_queries(self, queries: Floats) -> Moments:
        """Moments of each query's inner products with the whole corpus, without computing these.

        With mean vector m and covariance C: mean = q . m and variance = q' C q.
        """
        q = queries.astype(np.float64)
        variance = np.einsum("qd,qd->q", q @ self.covariance, q)
        return Moments(
            (q @ self.mean).astype(np.float32), np.sqrt(np.maximum(variance, 0)).astype(np.float32)
        )

    def save(self, path: Path) -> None:
        """Write ``mean`` and ``covariance`` as an .npz file."""
        np.savez(path, mean=self.mean, covariance=self.covariance)

    @classmethod
    def load(cls, path: Path) -> VectorMoments:
        """Read what ``save`` wrote.

        Raises:
            CorruptArtifact: The file is missing or damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls(arrays["mean"], arrays["covariance"])
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise CorruptArtifact(
                "the moments of the vectors cannot be read",
                where=str(path),
                found=str(error),
                remedy="delete the index artifact; the next run builds it anew",
            ) from error


def vector_moments(blocks: Iterable[tuple[int, Floats]]) -> VectorMoments:
    """Moments of the corpus vectors in one pass over their blocks [b, d].

    Deviations are taken from the first block's mean before they are squared, which keeps fp32 exact
    enough where all vectors point much the same way (Chan, Golub and LeVeque, *Algorithms for
    computing the sample variance*, 1983).
    """
    count, pivot, total, second = 0, np.zeros(1), np.zeros(1), np.zeros((1, 1))
    for _, block in blocks:
        if not count:
            pivot = block.mean(axis=0, dtype=np.float64)
        off = (block - pivot).astype(np.float32)
        count += len(block)
        total = total + off.sum(axis=0, dtype=np.float64)
        second = second + (off.T @ off).astype(np.float64)
    shift = total / max(count, 1)
    return VectorMoments(pivot + shift, second / max(count, 1) - np.outer(shift, shift))

"""How sure an evaluation is to be, and what a candidate must show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.random import Generator


@dataclass(frozen=True)
class Resampling:
    """How intervals and tests are drawn.

    Args:
        rng: Source of randomness; each use draws on where the one before stopped.
        draws: Resamples of the bootstrap, and swaps of the randomization test.
        level: Two-sided confidence of intervals.
    """

    rng: Generator
    draws: int = 10_000
    level: float = 0.95


@dataclass(frozen=True)
class Policy:
    """What a candidate must show.

    Args:
        min_effect: Minimum gain of the primary measure over what it replaces.
        derived_effect: The same where derived queries decide: they have one answer each, made of the same
            documents in the same way as the training pairs, and show gains that people's queries do not.
        min_queries: Fewer answerable queries decide nothing.
        level: Two-sided confidence; the randomization test must give p <= 1 - level. The test is exact, so
            that a candidate without any gain passes it with probability (1 - level) / 2.
        slice_floor: Most that a slice may lose.
        slice_queries: Smaller slices are shown and not judged.
    """

    min_effect: float = 0.01
    derived_effect: float = 0.02
    min_queries: int = 20
    level: float = 0.965
    slice_floor: float = 0.03
    slice_queries: int = 30

    def effect(self, decides: str | None) -> float:
        """Least gain on queries of a kind."""
        return max(self.min_effect, self.derived_effect) if decides == "derived" else self.min_effect

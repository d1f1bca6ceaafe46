"""How sure an evaluation is to be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Statistics:
    """The primary measure, and how intervals and tests are made.

    Args:
        primary: The measure that decides.
        level: Two-sided confidence of intervals.
        draws: Resamples of the bootstrap and swaps of the randomization test.
    """

    primary: str = "nDCG@10"
    level: float = 0.95
    draws: int = 10_000

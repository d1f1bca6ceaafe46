"""How negatives are mined: candidates, limits, the draw and the teacher.

The configuration takes its defaults from here, so that nothing heavy is imported.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Miner = Literal["dense", "bm25"]
Sampling = Literal["top", "random", "score"]


@dataclass(frozen=True)
class Thresholds:
    """Limits on scores; None means: no such limit.

    Args:
        absolute_margin: A negative scores at least this much below the lowest positive.
        relative_margin: ... below it by this share of its magnitude.
        max_score: Highest score of a negative.
        min_score: Lowest score of a negative.
        skip_ranks: First candidates, in ranking order, that are left out of those that remain.
    """

    absolute_margin: float | None = None
    relative_margin: float | None = None
    max_score: float | None = None
    min_score: float | None = None
    skip_ranks: int = 0


@dataclass(frozen=True)
class Rules:
    """How many candidates are proposed, and which are taken out.

    Args:
        miners: Some of ``dense`` and ``bm25``.
        depth: Candidates of each miner.
        near_duplicate: Cosine with a positive from which a candidate is the same text, as a share of
            the way from the background to 1.
        thresholds: Limits on scores.
    """

    miners: tuple[Miner, ...] = ("dense", "bm25")
    depth: int = 100
    near_duplicate: float = 0.97
    thresholds: Thresholds = field(default_factory=Thresholds)


@dataclass(frozen=True)
class Draw:
    """How negatives are drawn.

    Args:
        negatives: Maximum negatives per pair.
        how: See ``blocks.sample``.
        sample_from: Ranks drawn from.
    """

    negatives: int = 7
    how: Sampling = "top"
    sample_from: int = 40


@dataclass(frozen=True)
class MiningPlan:
    """How examples are made; the fields are the configuration's, with ``auto`` resolved."""

    rules: Rules
    draw: Draw
    cross_encoder: str | None = None
    teacher: str = "none"
    teacher_model: str | None = None
    seed: int = 0

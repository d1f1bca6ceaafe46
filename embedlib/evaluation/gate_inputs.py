"""What an evaluation artifact says, in the form that the gate and the report read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from embedlib.errors import DataError
from embedlib.evaluation.compare import Comparison
from embedlib.evaluation.records import EvaluationRecord, GuardFigure, SliceFigure, read_guards, read_slices
from embedlib.evaluation.served import served_system
from embedlib.evaluation.significance import Interval
from embedlib.retrieval.plan import DENSE, SearchPlan


@dataclass(frozen=True)
class GateInputs:
    """What decides: one kind of judgements, the primary measure.

    Args:
        primary: The measure that decides.
        decides: The judged set that decides; None when there is none.
        queries: Its queries with a relevant document.
        systems: Each system's mean.
        comparisons: On that set and measure.
        guards: General sets.
        slices: Parts of that set.
        leaks: Test data found in training, in words.
        cautions: What weakens the figures without voiding them, in words.
        merged: Whether the candidate is already a merge with the base.
        plans: How each model is or would be served.
        trained: Whether there was anything to train the candidate on.
        second_stage: What the live reranker gains, which goes with the model that it re-ranks.
    """

    primary: str
    decides: str | None
    queries: int
    systems: Mapping[str, Interval]
    comparisons: Sequence[Comparison]
    guards: Sequence[GuardFigure] = ()
    slices: Sequence[SliceFigure] = ()
    leaks: Sequence[str] = ()
    cautions: Sequence[str] = ()
    merged: bool = False
    plans: Mapping[str, SearchPlan] = field(default_factory=dict)
    trained: bool = True
    second_stage: float = 0.0

    def plan(self, model: str) -> SearchPlan:
        """How a model is or would be served; by its vectors where nothing is said."""
        return self.plans.get(model, DENSE)

    def served(self, model: str) -> str:
        """Name of the system that answers as the model would be served."""
        return served_system(model, self.plan(model))

    def comparison(self, system: str, baseline: str) -> Comparison:
        """One comparison.

        Raises:
            DataError: It was not made.
        """
        for c in self.comparisons:
            if (c.system, c.baseline) == (system, baseline):
                return c
        raise DataError(
            f"{system} was not compared with {baseline}", remedy="evaluate both on the same queries"
        )


def read_gate_inputs(folder: Path) -> GateInputs:
    """What an evaluation artifact's folder says; nothing of leaks, cautions, training and reranker."""
    record = EvaluationRecord.read(folder)
    primary, deciding = record.primary, record.deciding
    return GateInputs(
        primary=primary,
        decides=record.decides,
        queries=deciding.answerable if deciding else 0,
        systems={name: means[primary] for name, means in deciding.systems.items()} if deciding else {},
        comparisons=record.on(record.decides) if record.decides else [],
        guards=read_guards(folder),
        slices=read_slices(folder),
        merged=record.merged,
        plans=record.plans,
    )

"""What an evaluation artifact says, in the form that the gate and the report read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from embedlib.errors import DataError
from embedlib.evaluation.compare import Comparison
from embedlib.evaluation.served import served_system
from embedlib.evaluation.significance import Interval
from embedlib.retrieval.plan import DENSE, SearchPlan


@dataclass(frozen=True)
class GuardFigure:
    """How candidate and base do on a general set.

    Args:
        name: The set.
        measure: What is measured, such as ``nDCG@10`` or ``Spearman``.
        base: The base's value.
        candidate: The candidate's value.
        difference: candidate - base with its interval.
        margin: Most that may be lost.
        passed: Whether the whole interval lies above -margin (non-inferiority).
    """

    name: str
    measure: str
    base: float
    candidate: float
    difference: Interval
    margin: float
    passed: bool


@dataclass(frozen=True)
class SliceFigure:
    """The candidate against the base on a part of the queries.

    Args:
        name: What it is cut by, such as ``query length``.
        value: Which part, such as ``1-3 words``.
        base: Mean of the base.
        candidate: Mean of the candidate.
        difference: candidate - base with its interval; its ``n`` is the number of queries.
    """

    name: str
    value: str
    base: float
    candidate: float
    difference: Interval


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
        index_recall: Measured recall of its index, where there is one.
        plans: How each model is or would be served.
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
    index_recall: float | None = None
    plans: Mapping[str, SearchPlan] = field(default_factory=dict)

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


def read_gate_inputs(
    folder: Path,
    *,
    leaks: Sequence[str] = (),
    cautions: Sequence[str] = (),
    index_recall: float | None = None,
) -> GateInputs:
    """Read an evaluation artifact's folder.

    Args:
        folder: The artifact's folder.
        leaks: See ``GateInputs``.
        cautions: See ``GateInputs``.
        index_recall: See ``GateInputs``.
    """
    record: dict[str, Any] = read_json(folder / "comparisons.json")
    primary, decides = record["primary"], record["decides"]
    dataset = record["datasets"].get(decides, {"answerable": 0, "systems": {}})
    comparisons = [Comparison.from_json(c) for c in record["comparisons"]]
    return GateInputs(
        primary=primary,
        decides=decides,
        queries=dataset["answerable"],
        systems={name: Interval(**means[primary]) for name, means in dataset["systems"].items()},
        comparisons=[c for c in comparisons if c.dataset == decides and c.measure == primary],
        guards=[guard_from_json(g) for g in read_json(folder / "guards.json")],
        slices=[slice_from_json(s) for s in read_json(folder / "slices.json")],
        leaks=leaks,
        cautions=cautions,
        merged=record["merged"],
        index_recall=index_recall,
        plans={name: SearchPlan.model_validate(plan) for name, plan in record["plans"].items()},
    )


def guard_from_json(value: Mapping[str, Any]) -> GuardFigure:
    """Read ``figure_json``'s result."""
    return GuardFigure(**{**value, "difference": Interval(**value["difference"])})


def slice_from_json(value: Mapping[str, Any]) -> SliceFigure:
    """Read ``figure_json``'s result."""
    return SliceFigure(**{**value, "difference": Interval(**value["difference"])})


def figure_json(figure: GuardFigure | SliceFigure) -> dict[str, Any]:
    """A guard's or a slice's figures as JSON values."""
    return {**asdict(figure), "difference": figure.difference._asdict()}


def read_json(path: Path) -> Any:
    """A JSON file's content."""
    return json.loads(path.read_text(encoding="utf-8"))

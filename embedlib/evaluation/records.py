"""What an evaluation and a decision say: the JSON files of their artifacts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from embedlib.evaluation.compare import Comparison
from embedlib.evaluation.significance import Interval
from embedlib.json_file import JsonFile, JsonPart, read_list
from embedlib.retrieval.plan import SearchPlan, TwoStagePlan

GUARDS_FILE, SLICES_FILE, GENERAL_FILE = "guards.json", "slices.json", "general.json"

Verdict = Literal[
    "promote", "keep", "merge-and-retest", "do-not-fine-tune", "not-enough-evidence", "first-release"
]


@dataclass(frozen=True)
class GuardFigure:
    """How candidate and base do on a general set.

    Args:
        measure: What is measured, such as ``nDCG@10`` or ``Spearman``.
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
        difference: candidate - base with its interval; its ``n`` is the number of queries.
    """

    name: str
    value: str
    base: float
    candidate: float
    difference: Interval


@dataclass(frozen=True)
class GeneralFigure:
    """What a system reaches on a general set: the mean of a measure with its interval."""

    set: str
    system: str
    measure: str
    mean: float
    low: float
    high: float
    n: int


class JudgedFigures(JsonPart):
    """A judged set: its queries, those with a relevant document, and each system's mean of each measure."""

    queries: int
    answerable: int
    documents: int
    systems: dict[str, dict[str, Interval]]


class PlanChoice(JsonPart):
    """Why a model is or would be served by its plan, and the mean of each plan tried on dev."""

    why: str
    dev: dict[str, float]


class EvaluationRecord(JsonFile):
    """Every judged set's systems and comparisons.

    ``decides`` names the judged set that decides, None where there is none; ``dimensions`` has each
    model's vector length, ``models`` its content digest, ``merged`` whether the candidate is already a merge
    with the base.
    """

    FILE: ClassVar[str] = "comparisons.json"
    primary: str
    plans: dict[str, SearchPlan]
    level: float
    decides: str | None
    datasets: dict[str, JudgedFigures]
    comparisons: list[Comparison]
    dimensions: dict[str, int] = Field(default_factory=dict)
    models: dict[str, str] = Field(default_factory=dict)
    merged: bool = False
    general: list[GeneralFigure] = Field(default_factory=list)
    chosen: dict[str, PlanChoice] = Field(default_factory=dict)

    @property
    def deciding(self) -> JudgedFigures | None:
        """The judged set that decides."""
        return None if self.decides is None else self.datasets[self.decides]

    def on(self, dataset: str) -> list[Comparison]:
        """A judged set's comparisons on the primary measure."""
        return [c for c in self.comparisons if c.dataset == dataset and c.measure == self.primary]


class ShownDocument(JsonPart):
    """The beginning of a document."""

    doc_id: str
    text: str


class ShownHit(ShownDocument):
    """A document that was found, and how relevant it is judged."""

    relevance: int


class QueryGain(JsonPart):
    """A query, its values before and after, what is relevant, and what was found."""

    query_id: str
    query: str
    before: float
    after: float
    relevant: list[ShownDocument]
    hits_before: list[ShownHit]
    hits_after: list[ShownHit]


class Gains(JsonFile):
    """Differences between two systems (sorted, all queries) and the queries at both ends, most first."""

    FILE: ClassVar[str] = "examples.json"
    measure: str = ""
    system: str = ""
    baseline: str = ""
    differences: list[float] = Field(default_factory=list)
    gained: list[QueryGain] = Field(default_factory=list)
    lost: list[QueryGain] = Field(default_factory=list)


class TrainingCurve(JsonFile):
    """What was measured in training: points with a ``step`` and one figure by its name."""

    FILE: ClassVar[str] = "curve.json"
    loss: list[dict[str, int | float]] = Field(default_factory=list)
    dev: list[dict[str, int | float]] = Field(default_factory=list)
    best_step: int | None = None


class MergeChoice(JsonFile):
    """The share of the tuned model that was taken, and the dev figure of each share tried."""

    FILE: ClassVar[str] = "merge.json"
    chosen: float
    measure: str = "nDCG@10"
    tried: list[dict[str, float]] = Field(default_factory=list)


class Decision(JsonFile):
    """The verdict, why, and what follows.

    ``advice`` is what the owner may do about it, ``decided_on`` the judged set that decided,
    ``numbers`` the reasons for machines, ``search`` how each model evaluated is or would be served,
    ``models`` their content digests, and ``test_set`` the digest of the judged queries. ``rerank`` is how
    a reranker would order the first hits anew, where that is what was decided on.
    """

    FILE: ClassVar[str] = "decision.json"
    verdict: Verdict
    headline: str
    reasons: tuple[str, ...]
    advice: tuple[str, ...]
    decided_on: str | None
    numbers: dict[str, Any]
    search: dict[str, SearchPlan] = Field(default_factory=dict)
    test_set: str = ""
    models: dict[str, str] = Field(default_factory=dict)
    rerank: TwoStagePlan | None = None

    def plan_of(self, model_digest: str) -> SearchPlan | None:
        """The plan that was given to a model; None where nothing is said of that model."""
        names = (name for name, digest in self.models.items() if digest == model_digest)
        return next((self.search[name] for name in names if name in self.search), None)


def read_guards(folder: Path) -> Sequence[GuardFigure]:
    """``guards.json`` of an evaluation.

    Raises:
        CorruptArtifact: It is missing or damaged.
    """
    return read_list(folder / GUARDS_FILE, GuardFigure)


def read_slices(folder: Path) -> Sequence[SliceFigure]:
    """``slices.json`` of an evaluation.

    Raises:
        CorruptArtifact: It is missing or damaged.
    """
    return read_list(folder / SLICES_FILE, SliceFigure)

"""Options of the ``evaluate``, ``decide`` and ``report`` stages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import field_validator, model_validator

from embedlib.config.base import OPERATIONAL, Field, Section
from embedlib.evaluation.statistics import Policy, Resampling
from embedlib.retrieval.plan import DEFAULT_WEIGHT, Feedback, SearchPlan


class RetrievalGuard(Section):
    """A general retrieval set on which the candidate must not lose more than a margin."""

    type: Literal["beir"] = "beir"
    """A folder in BEIR's layout."""
    folder: Path
    """Folder with corpus.jsonl, queries.jsonl and qrels/<split>.tsv."""
    split: str = Field("test", min_length=1)
    """Which qrels to judge by."""
    measure: str = "nDCG@10"
    """Measure that must not fall."""
    margin: float = Field(0.01, ge=0, le=1)
    """Most that may be lost against the base model."""


class SimilarityGuard(Section):
    """A sentence similarity set on which the candidate must not lose more than a margin."""

    type: Literal["similarity"] = "similarity"
    """A table of sentence pairs."""
    file: Path
    """TSV file with the columns sentence1, sentence2 and score."""
    margin: float = Field(0.01, ge=0, le=1)
    """Most Spearman correlation that may be lost against the base model."""


class MtebGuard(Section):
    """An MTEB task; needs the optional package (``pip install embedlib[mteb]``)."""

    type: Literal["mteb"] = "mteb"
    """A task by name."""
    task: str = Field(min_length=1)
    """Name of the task, such as SciFact or STSBenchmark."""
    margin: float = Field(0.01, ge=0, le=1)
    """Most of the task's main score that may be lost against the base model."""


Guard = Annotated[RetrievalGuard | SimilarityGuard | MtebGuard, Field(discriminator="type")]


class Evaluate(Section):
    """What is measured, of which systems, and on what else the candidate must not lose."""

    split: Literal["test", "dev", "train"] = "test"
    """Queries to evaluate on."""
    measures: tuple[str, ...] = ("nDCG@10", "RR@10", "R@1", "R@5", "R@10", "R@100", "AP")
    """Measures by their ir-measures names."""
    primary: str = "nDCG@10"
    """The measure that decides."""
    depth: int = Field(100, ge=1, le=10_000)
    """Documents retrieved a query."""
    bm25: bool = True
    """Compare with BM25."""
    hybrid: bool = True
    """Compare with BM25 and each dense model fused: z(dense) + weight * z(BM25), z over the corpus."""
    search: Literal["auto", "dense", "bm25", "hybrid"] = "auto"
    """How the models would be served, which is what is judged; ``auto``: mode, weight and feedback are chosen
    on development queries labelled by people where there are enough of them, else hybrid."""
    weight: float = Field(DEFAULT_WEIGHT, ge=0)
    """BM25's weight in the hybrid; with ``auto`` the one that has to be beaten clearly on dev."""
    feedback: bool = False
    """Search a second time with the query moved towards the first documents; ``auto`` may switch it on."""
    rerank: str | None = None
    """Cross-encoder (name or folder) that re-ranks every system's hits; none when empty."""
    rerank_depth: int = Field(100, ge=1, le=1000)
    """Hits per query that are re-ranked."""
    baseline: str = ""
    """Model that the others are compared with where there is no candidate; empty: the first."""
    runs: tuple[Path, ...] = ()
    """TREC run files of other systems to stand beside the models."""
    guards: Literal["default"] | tuple[Guard, ...] = "default"
    """General sets that must not suffer; ``default`` = docstrings of installed packages, [] = none."""
    default_margin: float = Field(0.05, ge=0, le=1)
    """Most nDCG@10 that may be lost on the default guard."""
    dimensions: tuple[int, ...] = ()
    """Shortened vectors (Matryoshka) that the models are also evaluated at."""
    level: float = Field(Resampling.level, gt=0.5, lt=1)
    """Two-sided confidence of all intervals."""
    draws: int = Field(Resampling.draws, ge=100, le=1_000_000)
    """Resamples of the bootstrap and of the randomization test."""

    @property
    def chosen_guards(self) -> tuple[Guard, ...]:
        """The guards that were chosen, without the default one, which needs a corpus to stay clear of."""
        return () if self.guards == "default" else self.guards

    @field_validator("dimensions")
    @classmethod
    def _positive(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(d < 1 for d in value):
            raise ValueError("dimensions must be at least 1")
        return value

    @model_validator(mode="after")
    def _primary_is_measured(self) -> Evaluate:
        if self.primary not in self.measures:
            raise ValueError(f"primary {self.primary!r} is not among the measures")
        if self.hybrid and not self.bm25:
            raise ValueError("hybrid needs bm25")
        if self.search in ("bm25", "hybrid") and not getattr(self, self.search):
            raise ValueError(f"search {self.search} needs {self.search} on")
        return self

    @property
    def plan(self) -> SearchPlan:
        """How a model is searched unless dev chooses otherwise."""
        mode = self.search if self.search != "auto" else "hybrid" if self.hybrid else "dense"
        return SearchPlan(mode=mode, weight=self.weight, feedback=Feedback() if self.feedback else None)


class General(Section):
    """General sets that models are measured on without any documents of one's own."""

    baseline: str
    """Model that the others are compared with."""
    sets: tuple[Guard, ...] = ()
    """Sets that are measured; their margins do not count."""
    guards: tuple[Guard, ...] = ()
    """Sets on which no model may lose more than the margin against the baseline."""
    level: float = Field(Resampling.level, gt=0.5, lt=1)
    """Two-sided confidence of all intervals."""
    draws: int = Field(Resampling.draws, ge=100, le=1_000_000)
    """Resamples of the bootstrap."""


class Decide(Section):
    """The promotion gate's policy."""

    approval: Literal["none", "human"] = Field("none", json_schema_extra=OPERATIONAL)
    """``human``: a promotion waits for a person's word in the Prefect UI before it is published."""
    approval_timeout_s: int = Field(7 * 86_400, ge=60, json_schema_extra=OPERATIONAL)
    """How long it waits; then the run fails and nothing is published."""
    min_effect: float = Field(Policy.min_effect, ge=0, le=1)
    """Least gain of the primary measure over the base (and over the incumbent: above 0)."""
    derived_effect: float = Field(Policy.derived_effect, ge=0, le=1)
    """The same where queries derived from documents decide: they overstate what training brings."""
    min_queries: int = Field(Policy.min_queries, ge=2)
    """Fewer answerable test queries than this decide nothing."""
    level: float = Field(Policy.level, gt=0.5, lt=1)
    """Two-sided confidence: the randomization test must give p at most 1 - level. A little above the
    intervals' 95%, so that at most 2.5% of candidates without any gain are promoted, with room."""
    slice_floor: float = Field(Policy.slice_floor, ge=0, le=1)
    """Most that a slice of the test queries may lose."""


class Report(Section):
    """The HTML report."""

    examples: int = Field(10, ge=0, le=100)
    """Queries shown that gained most, and that lost most."""
    title: str = Field("Embedding report", min_length=1)
    """Heading of the page."""
    command: str = "embedlib run --config FILE"
    """The command that made this run, shown under "How to reproduce"."""

    def of_run(self, records: Mapping[str, str]) -> ReportOfRun:
        """The same, naming where the run is written down."""
        return ReportOfRun(**self.model_dump(), records=tuple(records.items()))


class ReportOfRun(Report):
    """The report of one flow run."""

    records: tuple[tuple[str, str], ...] = Field((), json_schema_extra=OPERATIONAL)
    """Where the run that writes it is written down, by name."""

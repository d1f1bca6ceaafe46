"""What triggers a flow, and what comes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect.runtime import flow_run
from pydantic import BaseModel, ConfigDict, Field

from embedlib.artifact import ArtifactRef
from embedlib.config.root import Config
from embedlib.evaluation.records import Decision
from embedlib.index.catalog import Release


class Trigger(BaseModel):
    """The event that started a run, as an automation passes it on."""

    model_config = ConfigDict(frozen=True)
    event: str = Field(default="by hand", description="Name of the event")
    evidence: dict[str, Any] = Field(default_factory=dict, description="What the event told")


#: The configuration of a run of which nothing is said.
DEFAULTS = Config()


def run_name() -> str:
    """Name of a flow run: what it does, in which workspace, and why if an event started it."""
    given = flow_run.parameters
    config, event = (_plain(given.get(name)) for name in ("config", "event"))
    workspace = Path(str(given.get("workspace") or config.get("workspace", DEFAULTS.workspace)))
    why = f" after {event['event'].removeprefix('embedlib.')}" if event.get("event") else ""
    return f"{flow_run.flow_name} {workspace.name}{why}"


def _plain(value: Any) -> dict[str, Any]:
    return value.model_dump() if isinstance(value, BaseModel) else dict(value or {})


class RunOutcome(BaseModel):
    """What a lifecycle run decided and left behind."""

    model_config = ConfigDict(frozen=True)
    verdict: str
    headline: str
    reasons: list[str]
    promoted: bool
    release: int
    model: str
    decision: str
    report: Path
    reranking: str | None = None
    #: What is left to do where the vector store did not follow.
    left: str = ""

    @classmethod
    def of(
        cls,
        decision: ArtifactRef,
        report: ArtifactRef,
        release: Release,
        promoted: bool,
        reranking: ArtifactRef | None = None,
    ) -> RunOutcome:
        """Gather the outcome from its artifacts."""
        values = Decision.read(decision.path)
        return cls(
            verdict=values.verdict,
            headline=values.headline,
            reasons=list(values.reasons),
            promoted=promoted,
            release=release.number,
            model=release.parts["model"].fingerprint,
            decision=decision.fingerprint,
            report=report.file("report.html"),
            reranking=None if reranking is None else reranking.fingerprint,
        )


def as_json(value: BaseModel | None) -> dict[str, Any] | None:
    """A model as JSON values, for records."""
    return None if value is None else value.model_dump(mode="json")

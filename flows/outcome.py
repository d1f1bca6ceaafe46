"""What triggers a flow, and what comes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from embedlib.index.catalog import Release
from embedlib.store import ArtifactRef


class Trigger(BaseModel):
    """The event that started a run, as an automation passes it on."""

    model_config = ConfigDict(frozen=True)
    event: str = Field(default="by hand", description="Name of the event")
    evidence: dict[str, Any] = Field(default_factory=dict, description="What the event told")


class Outcome(BaseModel):
    """What a lifecycle run decided and left behind."""

    model_config = ConfigDict(frozen=True)
    verdict: str
    reasons: list[str]
    promoted: bool
    release: int
    model: str
    decision: str
    report: Path

    @classmethod
    def of(cls, decision: ArtifactRef, report: ArtifactRef, release: Release, promoted: bool) -> Outcome:
        """Gather the outcome from its artifacts."""
        values = decision.read_json("decision.json")
        return cls(
            verdict=values["verdict"],
            reasons=values["reasons"],
            promoted=promoted,
            release=release.number,
            model=release.parts["model"].fingerprint,
            decision=decision.fingerprint,
            report=report.file("report.html"),
        )


def as_json(value: BaseModel | None) -> dict[str, Any] | None:
    """A model as JSON values, for records."""
    return None if value is None else value.model_dump(mode="json")

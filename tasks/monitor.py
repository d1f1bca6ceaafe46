"""Tasks about watching the live release, and about what became of its events."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.events import emit_event

from embedlib.artifact import ArtifactRef
from embedlib.config.monitoring import Monitor
from embedlib.monitoring.report import MonitorReport, acknowledge, check_live
from embedlib.monitoring.triggers import MonitorThresholds
from tasks.context import RunContext


@task(name="check release", task_run_name="check release", persist_result=False)
def check_release(run: RunContext, config: Monitor, corpus: ArtifactRef | None) -> MonitorReport:
    """Check the live release against its baselines, and the documents as they are now."""
    report = check_live(
        run.workspace,
        MonitorThresholds(**config.model_dump()),
        now=datetime.now(UTC),
        seed=run.seed,
        fresh_corpus=corpus.path if corpus else None,
    )
    create_markdown_artifact(report.markdown(), key="monitor", description="the live release, watched")
    run.tracker.figures("monitor", report.summary())
    return report


@task(name="emit alerts", task_run_name="emit alerts", persist_result=False)
def emit_alerts(report: MonitorReport) -> None:
    """Emit the report's events; each carries its evidence."""
    for event in report.events:
        resource = {"prefect.resource.id": event.resource}
        emit_event(event=event.name, resource=resource, payload=event.payload())


def note_outcome(workspace: Path, event: dict[str, Any] | None, state: str, detail: str = "") -> None:
    """Record in the monitor's history what became of the event that started a run."""
    event_id = (event or {}).get("evidence", {}).get("id")
    if event_id:
        acknowledge(workspace.expanduser(), event_id, state, now=datetime.now(UTC), detail=detail)

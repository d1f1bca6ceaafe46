"""Where a flow run is written down: in Prefect, in MLflow, in its report. Each names the others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from prefect.artifacts import create_markdown_artifact
from prefect.runtime import flow_run
from prefect.utilities.urls import url_for

from embedlib import escape
from tasks.context import RunContext


def prefect_record() -> str:
    """The flow run's page, or its name and id where no UI is known."""
    return url_for("flow-run", obj_id=str(flow_run.id)) or f"{flow_run.name} ({flow_run.id})"


def records(run: RunContext) -> dict[str, str]:
    """The flow run in Prefect and in MLflow, for its report."""
    return {"Prefect run": prefect_record(), "MLflow run": run.tracker.address}


def show_records(run: RunContext, report: Path | None = None) -> None:
    """Link the MLflow run, and the report where there is one, in the Prefect UI."""
    run.tracker.flush()
    lines = {"MLflow run": run.tracker.address, "report": "" if report is None else str(report)}
    create_markdown_artifact(listed(lines), key="records", description="where this run is written down")


def listed(lines: Mapping[str, str]) -> str:
    """Records as a Markdown list; addresses are links."""
    return "\n".join(f"- {name}: {_link(value)}" for name, value in lines.items() if value)


def _link(value: str) -> str:
    is_page = value.startswith(("http://", "https://")) and not set(value) & set("<> ")
    return f"<{value}>" if is_page else escape.markdown(value)

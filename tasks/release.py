"""Tasks about releases: what is live, publishing, and the events that tell of it."""

from __future__ import annotations

from typing import Any

from prefect import get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.events import emit_event

from embedlib.config.index import Publish
from embedlib.index import release as releases
from embedlib.store import ArtifactRef
from tasks.artifacts import table
from tasks.context import RunContext


@task(name="live release", persist_result=False)
def live_release(run: RunContext) -> releases.Release | None:
    """Finish or undo an interrupted publish, sweep dead temporary folders, and read what is live."""
    run.store.sweep()
    releases.reconcile(run.workspace)
    return releases.current(run.workspace)


@task(name="publish", persist_result=False)
def publish(
    run: RunContext,
    config: Publish,
    parts: dict[str, ArtifactRef],
    event: dict[str, Any] | None = None,
    approved_by: str | None = None,
) -> releases.Release:
    """Verify model and index together and make them live in one step."""
    release = releases.publish(
        run.workspace, **parts, event=event, approved_by=approved_by, **config.model_dump()
    )
    get_run_logger().info("release %d is live: model %s", release.number, release.model.fingerprint[:12])
    create_markdown_artifact(table(release.summary()), key="release", description=f"release {release.number}")
    return release


@task(name="tell", persist_result=False)
def tell(run: RunContext, event: str, payload: dict[str, Any]) -> None:
    """Emit an event that automations may act on."""
    resource = {"prefect.resource.id": f"embedlib.workspace.{run.workspace.name}"}
    emit_event(event=event, resource=resource, payload={"workspace": str(run.workspace), **payload})

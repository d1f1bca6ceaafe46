"""Tasks about releases: what is live, publishing, and the events that tell of it."""

from __future__ import annotations

from typing import Any

from prefect import events, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State

from embedlib.artifact import ArtifactRef
from embedlib.config.index import Publish
from embedlib.config.live import to_remember
from embedlib.config.root import Config
from embedlib.errors import ReleaseError, StoreError
from embedlib.evaluation.lineage import model_name
from embedlib.evaluation.records import Decision
from embedlib.index.catalog import OPTIONAL, PARTS, Release
from embedlib.index.reconcile import reconcile
from embedlib.index.release_parts import live_parts
from embedlib.progress import LogProgress, began, ended, watched
from embedlib.stages import push
from embedlib.stages.publish import publish_release, require_same_collection
from tasks.artifacts import figures
from tasks.context import RunContext
from tasks.stage import may_retry


@task(name="live release", task_run_name="live release", persist_result=False)
def live_release(run: RunContext, *, optional: bool = False) -> dict[str, ArtifactRef] | None:
    """Finish or undo an interrupted publish, then read the live release's artifacts by name.

    None before the first release; with ``optional`` also, and a warning, where the release is damaged.
    """
    reconcile(run.workspace)
    try:
        return live_parts(run.store)
    except (ReleaseError, StoreError) as error:
        if not optional:
            raise
        get_run_logger().warning("the live release does not count: %s", error)
        return None


def require_live(run: RunContext, purpose: str) -> dict[str, ArtifactRef]:
    """``live_release`` for what cannot do without one.

    Raises:
        ReleaseError: Nothing has been published yet; ``purpose`` says what it was wanted for.
    """
    live = live_release(run)
    if live is None:
        raise ReleaseError(
            f"there is no release {purpose}",
            where=str(run.workspace),
            remedy="run the lifecycle first: `embedlib run`",
        )
    return live


@task(name="check documents", task_run_name="check documents", persist_result=False)
def check_documents(config: Publish, live: dict[str, ArtifactRef] | None, corpus: ArtifactRef) -> None:
    """Refuse, before anything is computed, documents that are not those of the live release."""
    if live is not None:
        require_same_collection(config, live["corpus"], corpus)


@task(name="publish", task_run_name="publish", persist_result=False)
def publish(
    run: RunContext,
    config: Config,
    parts: dict[str, ArtifactRef],
    *,
    replaces: dict[str, ArtifactRef] | None = None,
    event: dict[str, Any] | None = None,
    approval: dict[str, Any] | None = None,
) -> Release:
    """Verify model and index together and make them live in one step."""
    decision = Decision.read(parts["decision"].path)
    release = publish_release(
        run.workspace,
        config.publish,
        {name: parts[name] for name in (*PARTS, *OPTIONAL) if name in parts},
        event=event,
        approval=approval,
        figures=decision.numbers,
        configuration=to_remember(config),
        why=decision.verdict,
        replaces=replaces,
    )
    how = "was live already" if release.reused else "is live"
    get_run_logger().info("release %d %s, searched as %s", release.number, how, release.answers)
    shown = {
        "release": release.number,
        "created": release.created_at,
        "search": release.answers,
        **release.figures.get("verification", {}),
    }
    create_markdown_artifact(figures(shown), key="release", description=f"release {release.number} {how}")
    run.tracker.figures("publish", {"release": release.number})
    run.tracker.describe(tags={"release": str(release.number), "live model": model_name(parts["model"])})
    return release


def push_index(run: RunContext, config: Config) -> BaseException | None:
    """Bring the live release into the vector store, where one is configured; tried again as stages are.

    Returns:
        What the task failed with, if it did.
    """
    if config.publish.target is None:
        return None
    state: State[None] = _push_index.with_options(retries=run.retries)(run, config, return_state=True)
    failure = state.result(raise_on_failure=False)
    return failure if isinstance(failure, BaseException) else None


@task(
    name="push index",
    task_run_name="push index",
    retry_condition_fn=may_retry,
    retry_delay_seconds=5,
    persist_result=False,
)
def _push_index(run: RunContext, config: Config) -> None:
    how = "failed"
    began("push index")
    try:
        done = push.push_index(run.workspace, config.publish, progress=watched("push index", LogProgress()))
        how = "reused" if done.reused else "done"
    finally:
        ended("push index", how)
    get_run_logger().info(
        "%s answers with release %d, %d rows sent", done.collection, done.release, done.sent
    )
    create_markdown_artifact(
        figures(done._asdict()), key="store", description=f"the vector store has release {done.release}"
    )
    run.tracker.figures("push index", {"release": done.release, "sent": done.sent, "deleted": done.deleted})


@task(name="register", task_run_name="register", persist_result=False)
def register(run: RunContext, config: Config, model: ArtifactRef) -> None:
    """Make the published model the registry's ``champion``, while the run goes on."""
    if config.tracking.register_model:
        name, digest = config.tracking.model_name, model.digest
        run.tracker.model(model.path, name=name, digest=digest, description=model_name(model))
        run.tracker.flush_soon()


@task(name="emit event", task_run_name="emit event", persist_result=False)
def emit_event(run: RunContext, event: str, payload: dict[str, Any]) -> None:
    """Emit an event that automations may act on."""
    resource = {"prefect.resource.id": f"embedlib.workspace.{run.workspace.name}"}
    events.emit_event(event=event, resource=resource, payload={"workspace": str(run.workspace), **payload})

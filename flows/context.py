"""How every flow begins and ends: context, tracking run, housekeeping."""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from prefect.runtime import flow_run

from embedlib.config.live import with_documents
from embedlib.config.root import Config
from embedlib.errors import EmbedlibError
from embedlib.stages.preflight import preflight
from embedlib.store import require_workspace
from flows.outcome import Trigger, as_json
from flows.terminal import tell_now
from flows.wait_for_task_runs import wait_for_task_runs
from tasks.context import RunContext
from tasks.monitor import note_outcome


def checked(config: Config, sections: Sequence[str], event: Trigger | None = None) -> Config:
    """The configuration for a workspace that is there: the live release's, with what is given on top.

    Raises:
        UserError: The workspace is not there.
        ConfigError: Something that it names is wrong.
    """
    require_workspace(config.workspace)
    return checked_config(config, sections, event)


def checked_config(config: Config, sections: Sequence[str], event: Trigger | None) -> Config:
    """The same for a workspace that may still be made; what triggered a run that cannot start is told so.

    Raises:
        ConfigError: Something that it names is wrong.
    """
    try:
        config = with_documents(config)
        preflight(config, sections)
    except EmbedlibError as error:
        note_outcome(config.workspace, as_json(event), "failed", detail=_one_line(error))
        raise
    return config


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


@contextmanager
def flow_context(config: Config, kind: str, event: Trigger | None = None) -> Iterator[RunContext]:
    """Open the MLflow run of this flow run, and close it with the status that is true."""
    run = RunContext(
        workspace=config.workspace.expanduser().resolve(),
        key=str(flow_run.id),
        seed=config.seed,
        tracking_uri=config.tracking.uri,
        experiment=config.tracking.experiment,
        retries=config.run.retries,
        limit=config.run.limit,
    )
    cause = as_json(event)
    run.store.sweep()
    tags = {
        "flow": kind,
        "because of": event.event if event else "by hand",
        "workspace": run.workspace.name,
        "prefect.flow_run_id": run.key,
        "prefect.flow_run_name": str(flow_run.name),
    }
    run.tracker.start(str(flow_run.name), params=config.model_dump(mode="json"), tags=tags)
    note_outcome(run.workspace, cause, "started", detail=run.key)
    gc.freeze()  # else every full collection walks all that Prefect and MLflow brought along
    atexit.register(gc.freeze)  # and so does the interpreter at its end, for two seconds
    try:
        yield run
    except BaseException as error:
        tell_now(error)
        note_outcome(run.workspace, cause, "failed", detail=_one_line(error))
        run.tracker.finish("FAILED")
        raise
    else:
        run.tracker.finish()
    finally:
        gc.unfreeze()
        wait_for_task_runs()

"""How every flow begins and ends: context, tracking run, housekeeping."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.runtime import flow_run

from embedlib.config.root import Config
from flows.outcome import Trigger
from flows.settle import settle
from tasks.context import RunContext


@contextmanager
def flow_context(config: Config, kind: str, event: Trigger | None = None) -> Iterator[RunContext]:
    """Open the MLflow run of this flow run, and close it with the status that is true.

    Args:
        config: The whole configuration.
        kind: The flow's name.
        event: What triggered the run, kept as a tag.
    """
    run = RunContext(
        workspace=config.workspace.expanduser().resolve(),
        key=str(flow_run.id),
        seed=config.seed,
        tracking_uri=config.tracking.uri,
        experiment=config.tracking.experiment,
        retries=config.run.retries,
    )
    run.store.sweep()
    tags = {"embedlib.flow": kind, "prefect.flow_run_id": run.key, "prefect.flow_run_name": str(flow_run.name)}
    tags["embedlib.event"] = event.event if event else "by hand"
    run.tracker.start(f"{kind} {flow_run.name}", params=config.model_dump(mode="json"), tags=tags)
    try:
        yield run
    except BaseException:
        run.tracker.finish("FAILED")
        raise
    else:
        run.tracker.finish()
    finally:
        settle()

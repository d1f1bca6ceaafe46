"""The one way a stage becomes a Prefect task."""

from __future__ import annotations

from functools import cache, partial
from typing import Any, Generic

from prefect import Task, get_run_logger, task
from prefect.client.schemas.objects import State
from prefect.states import Completed

from embedlib.artifact import ArtifactRef
from embedlib.config.base import Section
from embedlib.errors import BudgetExhausted, UserError
from embedlib.progress import began, ended, watched, watched_curve
from embedlib.stages.base import Inputs, Options, Stage, run_stage
from embedlib.tracking.tracker import Input
from tasks.artifacts import show
from tasks.context import RunContext
from tasks.progress import UiProgress, tracked_curve
from tasks.slot import slot

#: Kinds of artifact that MLflow lists as a run's data, and what for.
DATA = {"corpus": "documents", "queries": "splits and judgements"}


def may_retry(task: Any, run: Any, state: State[Any]) -> bool:
    """Try again what a machine may have caused; a user's mistake or a spent budget stays one."""
    error = state.result(raise_on_failure=False)
    return not isinstance(error, UserError | BudgetExhausted)


class StageTask(Generic[Options, Inputs]):
    """A stage as flows call it, with the artifacts that its ``run`` reads as keyword arguments."""

    def __init__(self, stage: Stage[Options, Inputs]) -> None:
        self.stage = stage

    def __call__(
        self,
        run: RunContext,
        config: Options,
        label: str = "",
        /,
        *args: Inputs.args,
        **inputs: Inputs.kwargs,
    ) -> ArtifactRef:
        """Run the stage as a Prefect task and return its artifact's reference.

        The task's state is ``Reused`` where the artifact was there already. Its figures go to MLflow
        and its report to the Prefect UI.

        Args:
            run: The flow run.
            config: The stage's options.
            label: Tells apart several runs of a stage in one flow.
            *args: None: artifacts are given by name.
            **inputs: The artifacts; None is left out.
        """
        call = stage_task(self.stage).with_options(retries=run.retries)
        named = f" {label}" if label else ""
        state: State[ArtifactRef] = call(run, config, dict(inputs), named, return_state=True)
        return state.result()


@cache
def stage_task(stage: Stage[Any, ...]) -> Task[..., State[ArtifactRef]]:
    """The Prefect task of a stage."""

    @task(
        name=stage.name,
        task_run_name=stage.name + "{label}",
        retry_condition_fn=may_retry,
        retry_delay_seconds=5,
        persist_result=False,
    )
    def body(
        run: RunContext, config: Section, inputs: dict[str, ArtifactRef | None], label: str
    ) -> State[ArtifactRef]:
        name, how = stage.name + label, "failed"
        began(name)
        try:
            built = run_stage(
                run.store,
                stage,
                config,
                seed=run.seed,
                progress=watched(name, UiProgress(stage.name)),
                curve=watched_curve(name, tracked_curve(run.tracker, name)),
                during=partial(slot, run.limit if stage.accelerated else None),
                **inputs,
            )
            how = "reused" if built.reused else "done"
        finally:
            ended(name, how)
        record(run, name, built.ref, built.reused)
        state = "Reused" if built.reused else "Completed"
        return Completed(name=state, data=built.ref, message=f"{built.ref.kind} {built.ref.fingerprint[:12]}")

    return body


def record(run: RunContext, name: str, ref: ArtifactRef, reused: bool) -> None:
    """Tell MLflow and the Prefect UI what a stage did."""
    manifest = ref.manifest
    how = "reused" if reused else f"built in {manifest.seconds:.1f} s"
    get_run_logger().info("%s: %s %s %s", name, ref.kind, ref.fingerprint[:12], how)
    cost = {"seconds": 0.0 if reused else manifest.seconds, "peak_memory_mb": manifest.peak_memory_mb}
    tracker = run.tracker
    tracker.figures(name, {**manifest.summary, **cost})
    if ref.kind in DATA:
        tracker.inputs([Input(ref.kind, ref.digest, DATA[ref.kind], str(ref.path), manifest.summary)])
    tracker.files(name, show(name, ref))
    tracker.flush_soon()

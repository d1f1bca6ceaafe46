"""Encoding of a corpus: shards fanned out over an engine, then put together."""

from __future__ import annotations

from typing import Any, cast

from prefect import Task, task
from prefect.utilities.annotations import unmapped

from embedlib.artifact import ArtifactRef
from embedlib.config.models import Encode
from embedlib.config.root import Config
from embedlib.index.encode import ShardSpec, encode_shard, plan_shards
from embedlib.models.hardware import share_cores
from embedlib.stages.encode import encoding_of
from tasks import stages
from tasks.context import RunContext
from tasks.runner import task_runner
from tasks.slot import slot
from tasks.stage import may_retry


def encode(
    run: RunContext, config: Config, *, corpus: ArtifactRef, model: ArtifactRef, label: str = ""
) -> ArtifactRef:
    """The corpus's vectors by one model; what was encoded before is not encoded again.

    With ``run.task_runner: threads`` the stage encodes on this machine by itself, with every core;
    the other engines encode shards first, and the stage puts them together.
    """
    if config.run.task_runner != "threads":
        fan_out(run, config, plan(run, config.encode, corpus, model))
    return stages.encode(run, config.encode, label, corpus=corpus, model=model)


@task(name="plan shards", task_run_name="plan shards", persist_result=False)
def plan(run: RunContext, config: Encode, corpus: ArtifactRef, model: ArtifactRef) -> list[ShardSpec]:
    """What has no vector yet, cut into shards."""
    return plan_shards(run.store, corpus.path, encoding_of(config, model), config.shard_size)


@task(
    name="encode shard",
    task_run_name="encode shard {number}",
    retry_condition_fn=may_retry,
    retry_delay_seconds=5,
    persist_result=False,
)
def shard(run: RunContext, spec: ShardSpec, number: int, workers: int) -> None:
    """Encode one shard into the shared store."""
    share_cores(workers)
    with slot(run.limit):
        encode_shard(run.store, spec)


def fan_out(run: RunContext, config: Config, specs: list[ShardSpec]) -> None:
    """Encode every shard on the configured engine, and wait."""
    if not specs:
        return
    workers = 1 if config.run.address else config.run.workers
    parameters = {
        "run": unmapped(run),
        "spec": specs,
        "number": list(range(1, len(specs) + 1)),
        "workers": unmapped(workers),
    }
    with task_runner(config.run) as runner:
        for future in runner.map(cast(Task[..., Any], shard.with_options(retries=run.retries)), parameters):
            future.result()

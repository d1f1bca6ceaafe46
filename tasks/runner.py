"""Engines for fan-out, chosen by name when a flow runs."""

from __future__ import annotations

from typing import Any

from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner, ThreadPoolTaskRunner

from embedlib.config.root import Run
from embedlib.errors import UserError


def task_runner(config: Run) -> TaskRunner[Any]:
    """The engine that ``run.task_runner`` names; the same tasks and results on each.

    Raises:
        UserError: The engine's package is not installed.
    """
    return {"threads": _threads, "processes": _processes, "dask": _dask, "ray": _ray}[config.task_runner](
        config
    )


def _threads(config: Run) -> TaskRunner[Any]:
    return ThreadPoolTaskRunner(max_workers=config.workers)


def _processes(config: Run) -> TaskRunner[Any]:
    return ProcessPoolTaskRunner(max_workers=config.workers)


def _dask(config: Run) -> TaskRunner[Any]:
    try:
        from prefect_dask import DaskTaskRunner
    except ModuleNotFoundError as error:
        raise _missing("dask") from error
    if config.address:
        return DaskTaskRunner(address=config.address)
    return DaskTaskRunner(
        cluster_kwargs={"n_workers": config.workers, "threads_per_worker": 1, "dashboard_address": None}
    )


def _ray(config: Run) -> TaskRunner[Any]:
    try:
        from prefect_ray import RayTaskRunner
    except ModuleNotFoundError as error:
        raise _missing("ray") from error
    if config.address:
        return RayTaskRunner(address=config.address)
    return RayTaskRunner(init_kwargs={"num_cpus": config.workers, "include_dashboard": False})


def _missing(name: str) -> UserError:
    return UserError(
        f"the task runner {name!r} is not installed",
        where="run.task_runner",
        remedy=f"pip install 'embedlib[{name}]', or choose threads or processes",
    )

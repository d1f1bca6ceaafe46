"""Engines for fan-out, chosen by name when a flow runs."""

from __future__ import annotations

import os
from typing import Any

from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner, ThreadPoolTaskRunner

from embedlib.config.root import Run
from embedlib.errors import UserError

#: A Ray of this machine only, though Ray names the switch for other systems, and without telemetry.
LOCAL_RAY = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}
#: Dask's own log says more about a cluster of ours than anyone asked; workers inherit the level.
QUIET_DASK = {"DASK_LOGGING__DISTRIBUTED": "error"}


def task_runner(config: Run) -> TaskRunner[Any]:
    """The engine that ``run.task_runner`` names; the same tasks and results on each.

    Raises:
        UserError: The engine's package is not installed.
    """
    if config.task_runner in ("dask", "ray"):
        return _dask(config) if config.task_runner == "dask" else _ray(config)
    pool = ThreadPoolTaskRunner if config.task_runner == "threads" else ProcessPoolTaskRunner
    return pool(max_workers=config.workers)


def _dask(config: Run) -> TaskRunner[Any]:
    _default(QUIET_DASK)
    try:
        from prefect_dask.task_runners import DaskTaskRunner
    except ModuleNotFoundError as error:
        raise _missing("dask") from error
    if config.address:
        return DaskTaskRunner(address=config.address)
    return DaskTaskRunner(
        cluster_kwargs={
            "n_workers": config.workers,
            "threads_per_worker": 1,
            "dashboard_address": "127.0.0.1:0",  # without one, every cluster of a machine wants port 8787
        }
    )


def _ray(config: Run) -> TaskRunner[Any]:
    if not config.address:
        _default(LOCAL_RAY)
    try:
        from prefect_ray.task_runners import RayTaskRunner
    except ModuleNotFoundError as error:
        raise _missing("ray") from error
    # "local" also where a Ray that somebody else started would be found
    local = {"address": "local", "num_cpus": config.workers, "include_dashboard": False}
    options: dict[str, Any] = {"address": config.address} if config.address else {"init_kwargs": local}
    runner: TaskRunner[Any] = RayTaskRunner(**options)
    return runner


def _default(variables: dict[str, str]) -> None:
    """Set environment variables that are not set; the libraries read them when they are imported."""
    for name, value in variables.items():
        os.environ.setdefault(name, value)


def _missing(name: str) -> UserError:
    return UserError(
        f"the task runner {name!r} is not installed",
        where="run.task_runner",
        remedy=f"pip install 'embedlib[{name}]', or choose threads or processes",
    )

"""Checks of what Prefect believes to be running: runs without a process, found over plain HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from embedlib.doctor.findings import Finding, fine, warning
from embedlib.errors import counted

#: A run of another machine, or of none, that has been running for so long is remarked on.
LONG_HOURS = 48.0


def running_runs(api_url: str) -> list[dict[str, Any]]:
    """Flow runs in the state Running, as the Prefect API has them (at most 200).

    Args:
        api_url: Such as ``http://127.0.0.1:4200/api``.

    Raises:
        httpx.HTTPError: The API does not answer, or refuses.
    """
    import httpx

    body = {"flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}}, "limit": 200}
    answer = httpx.post(f"{api_url.rstrip('/')}/flow_runs/filter", json=body, timeout=10.0)
    answer.raise_for_status()
    return list(answer.json())


def check_orphans(
    runs: Iterable[Mapping[str, Any]], *, now: datetime, alive: Callable[[int], bool], local: bool
) -> Finding:
    """Are there runs that Prefect shows as running and that no process works on?

    A process worker notes the process id with the run, not the machine; so it is looked up only
    where the server is this machine's own. A dead run keeps its concurrency slot until somebody ends
    it, and a deployment limited to one run at a time waits for it.
    """
    orphans, count = [], 0
    for run in runs:
        count += 1
        pid = str(run.get("infrastructure_pid") or "").rpartition(":")[2]
        started = datetime.fromisoformat(str(run["start_time"] or now.isoformat()))
        hours = (now - started.astimezone(UTC)).total_seconds() / 3600
        known = local and pid.isdigit()
        if not alive(int(pid)) if known else hours > LONG_HOURS:
            orphans.append({"name": run["name"], "id": run["id"], "hours": round(hours, 1), "process": pid})
    if orphans:
        first = orphans[0]["id"]
        return warning(
            "runs",
            f"{counted(len(orphans), 'run')} shown as running, and no process works on it",
            f"prefect flow-run cancel {first} (frees its slot); finished stages are kept for the next run",
            runs=orphans[:5],
        )
    return fine("runs", "every run that is shown as running has a process", running=count)

"""One pass over the real thing: a fresh server, everything deployed, a schedule that makes runs, a
worker that runs one.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from orchestra import PATIENCE, wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(120 * PATIENCE),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def test_deployed_scheduled_and_run(orchestra, settings, released):
    every_minute = [{"cron": "* * * * *", "timezone": "UTC", "active": True, "slug": "minutely"}]
    orchestra.deploy(settings, monitor={"schedules": every_minute})
    orchestra.start_worker()
    run_id = orchestra.run("monitor")
    scheduled = wait_for(
        lambda: [r for r in orchestra.runs("monitor") if r["auto_scheduled"]], 60, "a scheduled run"
    )
    assert scheduled[0]["state_name"] in ("Scheduled", "Pending", "Running", "Completed", "Late")
    assert orchestra.wait(run_id)["type"] == "COMPLETED"
    tasks = orchestra.tasks(run_id)
    assert tasks["check release"] == tasks["emit alerts"] == "Completed"
    assert tasks["ingest"] == "Reused"
    (line, *_) = (Path(settings["workspace"]) / "monitor" / "history.jsonl").read_text().splitlines()
    assert json.loads(line)["release"] == 1
    assert {d["name"] for d in orchestra.call("POST", "/deployments/filter")} == {
        "lifecycle", "refresh", "monitor", "evaluate",
    }  # fmt: skip

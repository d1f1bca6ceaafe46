"""One accelerator, several runs: a global concurrency limit, given back when its holder dies."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from orchestra import PATIENCE, wait_for

from tasks.slot import LEASE_S

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600 * PATIENCE),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
HOLDER = """
import sys, time
from tasks.slot import slot
with slot("gpu"):
    print("held", flush=True)
    time.sleep(float(sys.argv[1]))
"""


@contextmanager
def holder(orchestra, seconds: float):
    """A process that holds a slot of ``gpu``."""
    command = [sys.executable, "-c", HOLDER, str(seconds)]
    with subprocess.Popen(command, env=orchestra.env, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def taken(orchestra) -> int:
    return orchestra.call("GET", "/v2/concurrency_limits/gpu")["active_slots"]


def test_a_run_without_the_limit_is_told_how_to_make_it_and_holds_it_then(orchestra, settings):
    settings["run"] = {"limit": "gpu", "retries": 0}
    orchestra.deploy(settings)
    orchestra.start_worker()
    failed = orchestra.run("lifecycle")
    assert orchestra.wait(failed)["type"] == "FAILED"
    assert "prefect gcl create gpu --limit 1" in "\n".join(orchestra.logs(failed))
    orchestra.cli("gcl", "create", "gpu", "--limit", "1")
    run_id = orchestra.run("lifecycle")
    wait_for(
        lambda: orchestra.tasks(run_id).get("train") == "Running" and taken(orchestra) == 1, 120, "a slot"
    )
    assert orchestra.wait(run_id)["type"] == "COMPLETED"
    assert taken(orchestra) == 0


def test_one_at_a_time_and_a_dead_holder_loses_it(orchestra):
    orchestra.cli("gcl", "create", "gpu", "--limit", "1")
    with holder(orchestra, 600) as first:
        assert first.stdout.readline() == "held\n"
        with holder(orchestra, 0) as second:
            time.sleep(20)
            assert second.poll() is None
            assert taken(orchestra) == 1
            first.kill()
            started = time.monotonic()
            assert second.stdout.readline() == "held\n"
            assert time.monotonic() - started < (LEASE_S + 45) * PATIENCE
            assert second.wait(60) == 0
    wait_for(lambda: taken(orchestra) == 0, 60, "the slot given back")

"""Services that go away: the Prefect server, its database, MLflow."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest
from orchestra import PATIENCE, free_port, wait_for

from embedlib.cli.services import mlflow_command
from embedlib.index.catalog import current
from embedlib.tracking.tracker import Tracker

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900 * PATIENCE),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def started(orchestra, run_id: str) -> None:
    """Wait until the run has finished its first stage."""
    wait_for(lambda: "Completed" in orchestra.tasks(run_id).values(), 200, "a finished task")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "restarted"])
def test_the_server_is_away_for_20_s_in_mid_run(orchestra, settings, number):
    orchestra.deploy(settings)
    orchestra.start_worker()
    run_id = orchestra.run("lifecycle")
    started(orchestra, run_id)
    orchestra.kill(orchestra.server, number)
    time.sleep(20)
    orchestra.start_server()
    assert orchestra.wait(run_id, timeout_s=400)["type"] == "COMPLETED"
    assert current(Path(settings["workspace"])) is not None


def test_a_database_locked_for_8_s_costs_time_only(orchestra, settings):
    orchestra.deploy(settings)
    orchestra.start_worker()
    run_id = orchestra.run("lifecycle")
    started(orchestra, run_id)
    database = Path(orchestra.env["PREFECT_HOME"]) / "prefect.db"
    holder = sqlite3.connect(database, isolation_level=None, timeout=60)
    holder.execute("BEGIN IMMEDIATE")
    time.sleep(8)
    holder.rollback()
    holder.close()
    assert orchestra.wait(run_id, timeout_s=400)["type"] == "COMPLETED"


def test_mlflow_away_the_run_goes_on_and_what_was_recorded_is_sent_later(orchestra, settings, tmp_path):
    port = free_port()
    settings["tracking"]["uri"] = f"http://127.0.0.1:{port}"
    orchestra.deploy(settings)
    orchestra.start_worker()
    run_id = orchestra.run("lifecycle")
    assert orchestra.wait(run_id, timeout_s=500)["type"] == "COMPLETED"
    workspace = Path(settings["workspace"])
    assert list(workspace.glob("tracking/*/*.json"))
    assert any("MLflow" in line and "wait" in line for line in orchestra.logs(run_id))
    command = [*mlflow_command(tmp_path / "mlflow", port)]
    (tmp_path / "mlflow").mkdir()
    server = subprocess.Popen(command, env=orchestra.env, start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        tracker = Tracker(workspace, run_id, uri=settings["tracking"]["uri"])
        wait_for(lambda: tracker.flush().waiting == 0, 120, "the outbox emptied", poll_s=3)
        assert tracker.run_id is not None
        assert list(workspace.glob("tracking/*/*.json")) == []
    finally:
        server.terminate()
        server.wait(30)

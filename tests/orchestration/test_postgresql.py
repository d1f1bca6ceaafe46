"""The README's commands for a team, as they stand: `embedlib ui` on PostgreSQL, the full chain once."""

from __future__ import annotations

import signal
import subprocess
import sys

import httpx
import pytest
from orchestra import PATIENCE, Orchestra, free_port, wait_for
from postgres import postgresql

from embedlib.index.catalog import current

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600 * PATIENCE),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def test_the_full_chain_with_postgresql_behind_prefect_and_mlflow(tmp_path, settings, released):
    with postgresql() as server:
        server.create("prefect")
        server.create("mlflow")
        orchestra = Orchestra(
            tmp_path / "orchestra",
            PREFECT_SERVER_DATABASE_CONNECTION_URL=server.url("prefect", "postgresql+asyncpg"),
            MLFLOW_BACKEND_STORE_URI=server.url("mlflow"),
        )
        ports = ["--prefect-port", str(orchestra.port), "--mlflow-port", str(free_port())]
        command = [sys.executable, "-m", "embedlib.cli", "ui", "--workspace", settings["workspace"], *ports]
        with (tmp_path / "ui.log").open("wb") as log:
            ui = subprocess.Popen(command, env=orchestra.env, stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_for(lambda: answers(orchestra.url), 240, "the Prefect server on PostgreSQL")
            settings["tracking"] = {"register_model": True}
            orchestra.deploy(settings)
            run_id = orchestra.run("lifecycle")
            assert orchestra.wait(run_id, timeout_s=400)["type"] == "COMPLETED"
            assert (
                server.query("prefect", f"select state_type from flow_run where id='{run_id}'") == "COMPLETED"
            )
            names = server.query("mlflow", "select distinct key from metrics").splitlines()
            assert any("nDCG" in name for name in names)
            assert current(released).number >= 1
            assert not list(released.glob("mlflow.db*"))
        finally:
            ui.send_signal(signal.SIGTERM)
            ui.wait(timeout=60)
            orchestra.close()


def answers(url: str) -> bool:
    """Whether the server is healthy."""
    try:
        return httpx.get(f"{url}/health", timeout=2).is_success
    except httpx.HTTPError:
        return False

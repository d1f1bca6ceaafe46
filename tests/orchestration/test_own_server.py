"""The server of a run that has none configured: it ends with the run, and not before."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import yaml
from orchestra import wait_for

KEEPER = """
import time
from flows.own_server import OwnServer
own = OwnServer()
own.use(120)
print(own.process.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def env(tmp_path_factory) -> dict[str, str]:
    """Variables of a machine on which no server was ever configured."""
    home = str(tmp_path_factory.mktemp("prefect"))
    return {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"} | {"PREFECT_HOME": home}


def test_killed_with_the_process_that_started_it(env):
    with subprocess.Popen(
        [sys.executable, "-c", KEEPER], env=env, stdout=subprocess.PIPE, text=True
    ) as keeper:
        server = psutil.Process(int(keeper.stdout.readline()))
        assert "uvicorn" in server.cmdline()
        keeper.kill()
    wait_for(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE, 5, "no server")


def test_one_that_cannot_start_is_named_with_its_remedy(env, tmp_path):
    broken = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{tmp_path}/none/prefect.db"}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "embedlib.cli",
            "run",
            "--data",
            str(tmp_path),
            "--workspace",
            f"{tmp_path}/ws",
        ],
        env=env | broken,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Prefect's temporary server did not start" in done.stderr
    assert "`embedlib ui` starts a lasting server" in done.stderr


def test_a_server_that_prefect_s_profile_names_is_asked_instead(tmp_path):
    profile = 'active = "team"\n[profiles.team]\nPREFECT_API_URL = "http://127.0.0.1:9/api"\n'
    (tmp_path / "profiles.toml").write_text(profile)
    env = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"} | {"PREFECT_HOME": str(tmp_path)}
    code = "from flows.command_entry import start; start('monitor')"
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert "ServiceError: the configured Prefect server does not answer" in done.stderr
    assert "where: http://127.0.0.1:9/api" in done.stderr
    left = [p for p in psutil.process_iter(["environ"]) if str(tmp_path) in str(p.info["environ"])]
    assert left == []


#: As a terminal starts it: a parent in the background would have left interrupts ignored.
COMMAND = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from embedlib.cli import main
main()
"""


def test_an_interrupt_from_the_terminal_is_recorded(env, settings, tmp_path):
    config = tmp_path / "embedlib.yaml"
    config.write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-c", COMMAND, "run", "--config", str(config)]
    with (tmp_path / "log").open("w") as log:
        run = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)
    records = Path(settings["workspace"]) / "logs"
    wait_for(
        lambda: any("Beginning flow run" in log.read_text() for log in records.glob("*.log")),
        100,
        "a run that began",
    )
    os.killpg(run.pid, signal.SIGINT)
    assert run.wait(60) == 130, (tmp_path / "log").read_text()
    shown = (tmp_path / "log").read_text()
    assert shown.endswith("stopped; the same command goes on from here\n")
    assert "Crash detected" not in shown
    with sqlite3.connect(Path(env["PREFECT_HOME"]) / "prefect.db") as database:
        states = [state for (state,) in database.execute("select state_type from flow_run")]
    assert states == ["CRASHED"]

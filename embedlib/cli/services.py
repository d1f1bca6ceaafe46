"""The Prefect server, a worker and the MLflow UI as child processes on loopback."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import httpx
import typer

from embedlib.cli.app import from_flows
from embedlib.config.live import live_values
from embedlib.errors import ServiceError
from embedlib.loopback import HOST, own_origins, server_command
from embedlib.process import child_environment, module_command
from embedlib.tracking.local_store import TRAINING_VIEW, default_uri, note_ui

#: The work pool of the deployments.
POOL = "embedlib"


def serve(workspace: Path, *, prefect_port: int, mlflow_port: int, pool: str) -> None:
    """Start everything, print the addresses, stop everything on SIGINT or SIGTERM.

    The worker's runs are tracked in the MLflow server where that has a database of its own; else in
    each workspace's file, which the server shows for this one.

    Raises:
        ServiceError: A service did not come up, or ended.
    """
    root = workspace.expanduser().resolve()
    logs = root / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    env = environment(prefect_port, root)
    api, mlflow = env["PREFECT_API_URL"], f"http://{HOST}:{mlflow_port}"
    commands = {"prefect": server_command(prefect_port), "mlflow": mlflow_command(root, mlflow_port)}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, command in commands.items():
            running[name] = _start(command, env, logs / f"{name}.log")
        _wait_for(f"{api}/health", running["prefect"], logs / "prefect.log")
        _wait_for(f"{mlflow}/health", running["mlflow"], logs / "mlflow.log")
        note_ui(root, mlflow)
        if pool:
            team = {"MLFLOW_TRACKING_URI": mlflow} if "MLFLOW_BACKEND_STORE_URI" in os.environ else {}
            running["worker"] = _start(worker_command(pool), env | team, logs / "worker.log")
        typer.echo(
            f"Prefect  http://{HOST}:{prefect_port}\nMLflow   {mlflow}/#/?{TRAINING_VIEW}\nlogs     {logs}"
        )
        if pool == POOL:
            os.environ["PREFECT_API_URL"] = api
            deploy_own(root)
        typer.echo(f"\nexport PREFECT_API_URL={api}\n\nCtrl-C stops them.")
        _watch(running, logs)
    except KeyboardInterrupt:
        typer.echo("stopping")
    finally:
        _stop(running)


def deploy_own(root: Path) -> None:
    """Deploy the workspace with the configuration of its live release, unless that was done before."""
    values = live_values(root, required=False) if (root / "releases").is_dir() else {}
    names = from_flows("deploy")({**values, "workspace": str(root)}, keep=True)
    if not names:
        typer.echo("deployed before, and left as it is")
        return
    if values:
        typer.echo(f"deployed {', '.join(names)}, with the configuration of the live release")
        return
    known = f"embedlib deploy --data YOUR-DOCUMENTS --workspace {shlex.quote(str(root))}"
    typer.echo(f"deployed {', '.join(names)}; nothing is live: schedules are paused until you give\n{known}")


def environment(port: int, root: Path) -> dict[str, str]:
    """Variables for the children: loopback, no telemetry, the UI's files inside the workspace.

    Databases are the caller's to name: PREFECT_SERVER_DATABASE_CONNECTION_URL for Prefect and
    MLFLOW_BACKEND_STORE_URI for MLflow, such as PostgreSQL; without them, SQLite files.
    """
    variables = {
        "PREFECT_API_URL": f"http://{HOST}:{port}/api",
        "PREFECT_SERVER_API_HOST": HOST,
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(own_origins(port)),
        "PREFECT_UI_STATIC_DIRECTORY": str(root / "ui"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "embedlib",
        "DO_NOT_TRACK": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    return child_environment(variables)


def mlflow_command(root: Path, port: int) -> list[str]:
    """Start the MLflow server on MLFLOW_BACKEND_STORE_URI, or on the workspace's own store."""
    uri = os.environ.get("MLFLOW_BACKEND_STORE_URI") or default_uri(root)
    place = ["--backend-store-uri", uri, "--artifacts-destination", str(root / "mlartifacts")]
    names = ["--allowed-hosts", f"localhost:{port},{HOST}:{port}"]  # its own default lets 10.evil.example in
    return module_command(
        "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1", *names, *place
    )


def worker_command(pool: str) -> list[str]:
    """Start a process worker that makes its pool if it is not there."""
    options = ["--pool", pool, "--type", "process", "--limit", "2"]
    return module_command("prefect", "worker", "start", *options)


def _start(command: Sequence[str], env: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as stream:
        return subprocess.Popen(
            command, env=env, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
        )


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path, timeout_s: float = 90.0) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with suppress(httpx.HTTPError):
            if httpx.get(url, timeout=2).is_success:
                return
        time.sleep(0.3)
    code = process.poll()
    raise ServiceError(
        "a service did not come up",
        where=url,
        found=f"no answer in {timeout_s:.0f} s" if code is None else f"exit code {code}",
        remedy=f"read {log}; is the port taken? choose another with --prefect-port or --mlflow-port",
    )


def _watch(running: dict[str, subprocess.Popen[bytes]], logs: Path) -> None:
    while True:
        for name, process in running.items():
            if process.poll() is not None:
                raise ServiceError(
                    f"{name} ended", found=f"exit code {process.returncode}", remedy=f"read {logs / name}.log"
                )
        time.sleep(1.0)


def _stop(running: dict[str, subprocess.Popen[bytes]]) -> None:
    for process in reversed(running.values()):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
    for process in running.values():
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)

"""A real Prefect server and a real process worker in a temporary home, and ways to harm them."""

from __future__ import annotations

import copy
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from embedlib.cli.services import environment, worker_command
from embedlib.loopback import server_command

ROOT = Path(__file__).resolve().parents[2]
POOL = "embedlib"
#: Waits last so many times longer on a machine that is busy with other things.
PATIENCE = float(os.environ.get("EMBEDLIB_TEST_PATIENCE", "1"))
FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_for(
    condition: Callable[[], Any], timeout_s: float, what: str, poll_s: float = 0.25, strict: bool = False
) -> Any:
    """The condition's first true value.

    Args:
        condition: Asked until it is true.
        timeout_s: How long; times ``PATIENCE`` unless ``strict`` (the time itself is under test).
        what: What is waited for, for the error.
        poll_s: Pause between two questions.
        strict: Whether the time is taken as it stands.

    Raises:
        TimeoutError: Naming what was waited for.
    """
    deadline = time.monotonic() + timeout_s * (1 if strict else PATIENCE)
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(poll_s)
    raise TimeoutError(f"not within {timeout_s:.0f} s: {what}")


class Orchestra:
    """One server and its workers; everything it starts, ``close`` ends.

    Args:
        folder: Home, database, logs and workspaces go here.
        **env: More environment variables for server and workers.
    """

    def __init__(self, folder: Path, **env: str) -> None:
        self.folder = folder
        self.port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        self.env = environment(self.port, folder) | {
            "PREFECT_HOME": str(folder / "home"),
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            "PREFECT_LOGGING_LEVEL": "INFO",
            "PREFECT_CLIENT_MAX_RETRIES": "9",
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
            **env,
        }
        self.url = self.env["PREFECT_API_URL"]
        self._running: list[subprocess.Popen[bytes]] = []
        self._homes = {self.env["PREFECT_HOME"]}
        self.server: subprocess.Popen[bytes] | None = None

    def start_server(self, timeout_s: float = 240) -> None:
        """Start the server and wait until it answers."""
        self.server = self._start(server_command(self.port), "server")
        wait_for(self._healthy, timeout_s, f"the server on port {self.port}; see {self.folder}/server.log")

    def start_worker(self, home: Path | None = None, limit: int = 2) -> subprocess.Popen[bytes]:
        """Start a process worker on the pool.

        Args:
            home: Its own Prefect home, as on a machine of its own; None = the server's.
            limit: Runs it takes at once.
        """
        place = str(home) if home else self.env["PREFECT_HOME"]
        self._homes.add(place)
        command = worker_command(POOL)
        command[command.index("--limit") + 1] = str(limit)
        return self._start(command, "worker", PREFECT_HOME=place)

    def deploy(self, config: dict[str, Any], **changes: dict[str, Any]) -> None:
        """Deploy everything in ``prefect.yaml`` with another configuration.

        Args:
            config: Replaces the ``config`` parameter of every deployment.
            **changes: Keys replaced in the deployment of that name.
        """
        document = yaml.safe_load((ROOT / "prefect.yaml").read_text())
        document = copy.deepcopy(document)  # anchors make shared objects
        for deployment in document["deployments"]:
            deployment["parameters"] = {**deployment["parameters"], "config": config}
            deployment.update(changes.get(deployment["name"], {}))
        path = self.folder / "prefect.yaml"
        path.write_text(yaml.safe_dump(document))
        self.cli("work-pool", "create", POOL, "--type", "process", "--overwrite")
        self.cli("deploy", "--all", "--prefect-file", str(path))

    def cli(self, *arguments: str) -> str:
        """Run ``prefect --no-prompt …`` against the server; its output."""
        done = subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
            env=self.env, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def call(self, method: str, path: str, **body: Any) -> Any:
        """One request to the API, again while the server is too busy; its JSON, None when it is empty."""
        for pause_s in (1, 2, 4, 8, 0):
            answer = httpx.request(method, f"{self.url}{path}", json=body or None, timeout=60)
            if answer.status_code != 503:
                break
            time.sleep(pause_s)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json() if answer.content else None

    def run(self, deployment: str, **parameters: Any) -> str:
        """Start a run of a deployment; its id."""
        found = self.call("GET", f"/deployments/name/{deployment}/{deployment}")
        made = self.call("POST", f"/deployments/{found['id']}/create_flow_run", parameters=parameters)
        return str(made["id"])

    def runs(self, flow: str) -> list[dict[str, Any]]:
        """Every run of a flow, oldest first."""
        body = {"flows": {"name": {"any_": [flow]}}, "limit": 200}
        return sorted(self.call("POST", "/flow_runs/filter", **body), key=lambda r: r["created"])

    def triggered(self, flow: str) -> list[dict[str, Any]]:
        """Runs of a flow that no schedule made."""
        return [r for r in self.runs(flow) if not r["auto_scheduled"]]

    def state(self, run_id: str) -> dict[str, Any]:
        """A run's state."""
        return dict(self.call("GET", f"/flow_runs/{run_id}")["state"])

    def wait(self, run_id: str, *types: str, timeout_s: float = 120) -> dict[str, Any]:
        """Wait until the run's state is one of ``types`` (any final one without)."""
        wanted = set(types) or FINAL
        try:
            return dict(wait_for(lambda: self._state_in(run_id, wanted), timeout_s, f"{wanted}", 0.5))
        except TimeoutError as error:
            tail = "\n".join(self.logs(run_id)[-15:])
            raise TimeoutError(f"{error}; it is {self.state(run_id)['name']}\n{tail}") from None

    def _state_in(self, run_id: str, wanted: set[str]) -> dict[str, Any] | None:
        state = self.state(run_id)
        return state if state["type"] in wanted else None

    def tasks(self, run_id: str) -> dict[str, str]:
        """Task runs of a flow run: name to state name."""
        body = {"flow_runs": {"id": {"any_": [run_id]}}, "limit": 200}
        return {r["name"]: r["state_name"] for r in self.call("POST", "/task_runs/filter", **body)}

    def logs(self, run_id: str) -> list[str]:
        """Log messages of a run, in order."""
        body = {"logs": {"flow_run_id": {"any_": [run_id]}}, "sort": "TIMESTAMP_ASC", "limit": 200}
        return [row["message"] for row in self.call("POST", "/logs/filter", **body)]

    def emit(self, event: str, resource: str, payload: dict[str, Any]) -> None:
        """Emit an event as a client of the server would."""
        code = (
            "import sys, json; from prefect.events import emit_event; "
            "from prefect.events.worker import EventsWorker; "
            "e, r, p = json.loads(sys.argv[1]); "
            "emit_event(event=e, resource={'prefect.resource.id': r}, payload=p); "
            "EventsWorker.instance().drain()"
        )
        subprocess.run(
            [sys.executable, "-c", code, json.dumps([event, resource, payload])],
            env=self.env, check=True, timeout=180, capture_output=True,
        )  # fmt: skip

    def processes(self, run_id: str) -> list[psutil.Process]:
        """Processes of a flow run, its flow process first: those with its id in their environment."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("PREFECT__FLOW_RUN_ID") == run_id:
                    found.append(process)
            except psutil.Error:
                continue
        return sorted(found, key=lambda p: p.create_time())

    def kill(self, process: subprocess.Popen[bytes], number: int = signal.SIGKILL) -> None:
        """Send a signal to a process that was started here and wait for its end.

        A worker that is asked to end waits for the flow runs that it started.
        """
        process.send_signal(number)
        process.wait(timeout=240 * PATIENCE)

    def close(self) -> None:
        """End everything that was started here, flow processes included."""
        for process in reversed(self._running):
            if process.poll() is None:
                process.terminate()
        for process in self._running:
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(timeout=15)
        for process in list(self._left_behind()):
            process.kill()

    def _left_behind(self) -> Iterator[psutil.Process]:
        """Processes of these homes: what a killed worker leaves."""
        for process in psutil.process_iter():
            try:
                if process.environ().get("PREFECT_HOME") in self._homes:
                    yield process
            except psutil.Error:
                continue

    def _start(self, command: list[str], name: str, **env: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as stream:
            process = subprocess.Popen(
                command, env=self.env | env, cwd=self.folder, stdout=stream, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        self._running.append(process)
        return process

    def _healthy(self) -> bool:
        assert self.server is not None
        if self.server.poll() is not None:
            raise RuntimeError(f"the server ended: {(self.folder / 'server.log').read_text()[-2000:]}")
        try:
            return httpx.get(f"{self.url}/health", timeout=2).is_success
        except httpx.HTTPError:
            return False


def is_alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False

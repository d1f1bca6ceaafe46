"""What stands beside the deployments: a webhook that is told, and dead runs that are called dead."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from orchestra import PATIENCE, wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600 * PATIENCE),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
PATH = "/hook/s3cr3t-41c0"


@pytest.fixture
def webhook():
    """A server on loopback: its address, and the texts that were posted to it."""
    texts: list[str] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == PATH:
                texts.append(json.loads(body)["text"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}{PATH}", texts
    server.shutdown()
    server.server_close()


def install(orchestra, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "embedlib.cli", "automations", *arguments]
    return subprocess.run(command, env=orchestra.env | env, capture_output=True, text=True, check=False)


def automations(orchestra) -> dict[str, dict]:
    found = orchestra.call("POST", "/automations/filter", limit=200)
    return {a["id"]: a for a in found if a["name"].startswith("embedlib: ")}


def test_a_webhook_is_told_and_a_second_installation_changes_nothing(orchestra, settings, released, webhook):
    address, texts = webhook
    first = install(orchestra, EMBEDLIB_NOTIFY_URL=address)
    assert first.returncode == 0, first.stderr
    before = automations(orchestra)
    assert sorted(a["name"] for a in before.values()) == sorted(first.stdout.splitlines())
    assert len(before) == 5
    again = install(orchestra, "--silence-s", "900", EMBEDLIB_NOTIFY_URL=address)
    assert again.returncode == 0, again.stderr
    after = automations(orchestra)
    assert after.keys() == before.keys()
    assert {a["trigger"]["within"] for a in after.values() if "dead" in a["name"]} == {900.0}

    resource = "embedlib.workspace.ws"
    evidence = {"canaries": {"value": 0.4, "threshold": 0.8}}
    orchestra.emit("embedlib.retrieval.degraded", resource, {"release": 1, "evidence": evidence})
    payload = {"verdict": "keep", "release": 1, "reasons": ["No gain.", 'A "quoted" one.']}
    orchestra.emit("embedlib.release.kept", resource, payload)
    settings["ingest"]["source"]["path"] = "/nowhere"
    orchestra.deploy(settings, lifecycle={"triggers": []})
    orchestra.start_worker()
    assert orchestra.wait(orchestra.run("lifecycle"))["type"] == "FAILED"
    wait_for(lambda: len(texts) >= 3, 60, "three messages")
    by_kind = {text.split()[0]: text for text in texts}
    assert len(texts) == len(by_kind) == 3
    assert by_kind["retrieval"].startswith(f"retrieval degraded: release 1 of {resource}\n")
    assert json.loads(by_kind["retrieval"].partition("\n")[2]) == evidence
    assert by_kind["keep:"].splitlines()[1:] == payload["reasons"]
    assert "/nowhere" in by_kind["lifecycle"]
    assert "ended as Failed" in by_kind["lifecycle"]
    secret = PATH.rpartition("/")[2].encode()
    assert [p for p in orchestra.folder.rglob("*") if p.is_file() and secret in p.read_bytes()] == []


def test_without_an_address_or_a_server(orchestra):
    alone = install(orchestra)
    assert alone.stdout.splitlines() == ["embedlib: dead runs"]
    nowhere = install(orchestra, PREFECT_API_URL="")
    assert nowhere.returncode == 1
    assert "embedlib ui" in nowhere.stderr


def test_a_run_killed_with_its_worker_is_marked_and_its_slot_is_free(orchestra, settings):
    settings["train"] |= {"epochs": 100, "batch_size": 2}
    orchestra.deploy(settings)
    assert install(orchestra, "--silence-s", "60").returncode == 0
    worker = orchestra.start_worker()
    run_id = orchestra.run("lifecycle")
    wait_for(lambda: "mine" in orchestra.tasks(run_id), 120, "a run at work")
    wait_for(lambda: heartbeats(orchestra, run_id), 60, "a first heartbeat")
    orchestra.kill(worker)
    for process in orchestra.processes(run_id):
        os.kill(process.pid, signal.SIGKILL)
    state = orchestra.wait(run_id, timeout_s=200)
    assert state["type"] == "CRASHED"
    assert "No sign of life for 60 s" in state["message"]
    orchestra.start_worker()
    settings["train"] |= {"epochs": 1, "batch_size": 16}
    assert orchestra.wait(orchestra.run("lifecycle", config=settings), timeout_s=200)["type"] == "COMPLETED"


def heartbeats(orchestra, run_id: str) -> list[dict]:
    resource = {"id": [f"prefect.flow-run.{run_id}"]}
    body = {"filter": {"event": {"name": ["prefect.flow-run.heartbeat"]}, "resource": resource}}
    return orchestra.call("POST", "/events/filter", **body)["events"]

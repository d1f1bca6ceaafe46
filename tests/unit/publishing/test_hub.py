"""``push-model`` against a hub on this machine, which speaks the few endpoints that a push asks."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

#: The release is made by real stages, and each push is a process.
pytestmark = pytest.mark.timeout(300)


class Hub(ThreadingHTTPServer):
    """Takes commits; knows one token."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.created: list[dict] = []
        self.files: dict[str, bytes] = {}
        self.summary = ""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer(200, {"id": "acme/search", "siblings": [], "sha": "0" * 40})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Authorization") != "Bearer good-token":
            self._answer(401, {"error": "Invalid credentials"})
        elif self.path == "/api/repos/create":
            self.server.created.append(json.loads(body))
            self._answer(200, {"url": f"{self.server.address}/acme/search", "name": "acme/search"})
        elif self.path == "/api/validate-yaml":
            self._answer(200, {"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            names = [file["path"] for file in json.loads(body)["files"]]
            modes = [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names]
            self._answer(200, {"files": modes})
        elif "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.server.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                elif line["key"] == "header":
                    self.server.summary = line["value"]["summary"]
            where = f"{self.server.address}/acme/search/commit/1"
            self._answer(200, {"commitUrl": where, "commitOid": "1" * 40, "success": True})
        else:
            self._answer(404, {"error": self.path})

    def _answer(self, status: int, value: dict) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def _push(tuned, hub: Hub, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "embedlib.cli", "push-model", *arguments, "--workspace", str(tuned.root)]
    given = {"HF_ENDPOINT": hub.address, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_TELEMETRY": "1", **env}
    environment = {k: v for k, v in os.environ.items() if k != "HF_TOKEN"} | given
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=100)


def test_a_push_brings_the_model_and_its_card(tuned, hub: Hub) -> None:
    done = _push(tuned, hub, "acme/search", HF_TOKEN="good-token")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{hub.address}/acme/search"
    assert hub.created[0]["name"] == "search"
    assert hub.created[0].get("private", hub.created[0].get("visibility")) in (True, "private")
    assert hub.summary.startswith(f"Release {tuned.release.number} of ")
    model: Path = tuned.release.ref(tuned.root, "model").path
    assert hub.files["model.safetensors"] == (model / "model.safetensors").read_bytes()
    assert b"base_model: sentence-transformers/all-MiniLM-L6-v2" in hub.files["README.md"]
    assert "artifact.json" not in hub.files
    assert "good-token" not in done.stdout + done.stderr


def test_a_dry_run_shows_the_card_and_asks_nobody(tuned, hub: Hub) -> None:
    done = _push(tuned, hub, "acme/search", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "# acme/search" in done.stdout
    assert "model.safetensors" in done.stdout
    assert "not pushed" in done.stdout
    assert hub.created == []


@pytest.mark.parametrize(
    ("name", "env", "code", "words"),
    [
        ("acme/search", {}, 2, "no token for the hub"),
        ("acme/search", {"HF_TOKEN": "wrong"}, 1, "the hub refused"),
        ("acme//search", {"HF_TOKEN": "good-token"}, 2, "no name on a hub"),
        (
            "acme/search",
            {"HF_TOKEN": "good-token", "HF_ENDPOINT": "http://127.0.0.1:9"},
            1,
            "does not answer",
        ),
        ("acme/search", {"HF_TOKEN": "good-token", "HF_HUB_OFFLINE": "1"}, 1, "may not be asked"),
    ],
    ids=["no token", "wrong token", "no name", "no hub", "offline"],
)
def test_what_keeps_a_push_from_going_is_said(
    tuned, hub: Hub, name: str, env: dict, code: int, words: str
) -> None:
    done = _push(tuned, hub, name, **env)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert words in done.stderr
    assert hub.files == {}

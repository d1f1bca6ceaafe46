"""Runs without a process: planted among healthy ones."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

from embedlib.doctor.diagnose import diagnose
from embedlib.doctor.findings import Severity
from embedlib.doctor.runs import check_orphans

NOW = datetime(2026, 1, 4, tzinfo=UTC)


def run(pid: str | None, started: str = "2026-01-03T23:00:00Z") -> dict:
    return {"id": f"id-{pid}", "name": "lifecycle-ws", "infrastructure_pid": pid, "start_time": started}


def check(*runs, alive=(), local=True):
    return check_orphans(runs, now=NOW, alive=lambda pid: pid in alive, local=local)


def test_runs_with_a_process_are_fine():
    found = check(run("7"), run(None), alive={7})
    assert (found.severity, found.evidence) == (Severity.OK, {"running": 2})


def test_a_run_whose_process_is_gone_is_an_orphan():
    found = check(run("7"), run("8"), alive={7})
    assert found.severity == Severity.WARNING
    assert [r["id"] for r in found.evidence["runs"]] == ["id-8"]
    assert "cancel id-8" in found.command


def test_of_other_machines_only_very_long_runs_are_remarked_on():
    assert check(run("9", "2026-01-02T01:00:00Z"), local=False).severity == Severity.OK
    assert check(run("9", "2026-01-01T23:00:00Z"), local=False).severity == Severity.WARNING


class _Api(BaseHTTPRequestHandler):
    def do_GET(self):
        self._answer(b"true")

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        wanted = body["flow_runs"]["state"]["type"]["any_"]
        dead = run(str(2**22 + 1))
        self._answer(json.dumps([dead] if wanted == ["RUNNING"] else []).encode())

    def _answer(self, content):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


def test_the_diagnosis_asks_the_configured_server(tmp_path, monkeypatch):
    with HTTPServer(("127.0.0.1", 0), _Api) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{server.server_port}/api")
        found = {f.subject: f for f in diagnose(tmp_path / "none")}
        server.shutdown()
    assert found["services"].severity == Severity.OK
    assert found["runs"].severity == Severity.WARNING

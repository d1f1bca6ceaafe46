"""Versions, services, disk, leftovers and locks, each with its fault planted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import PackageNotFoundError

import numpy as np
import pytest

from embedlib.disk import file_lock
from embedlib.doctor.consistency import check_library, check_pairing, check_same_vectors
from embedlib.doctor.findings import Severity
from embedlib.doctor.installation import (
    check_disk,
    check_service,
    check_versions,
    own_requirements,
    service_urls,
)
from embedlib.doctor.leftovers import check_leftovers, check_locks, is_free
from embedlib.store import Store

INSTALLED = {"fastapi": "0.150.2", "numpy": "2.4.6", "rich": "13.0"}


def version_of(name):
    if name not in INSTALLED:
        raise PackageNotFoundError(name)
    return INSTALLED[name]


@pytest.mark.parametrize(
    ("requirement", "severity"),
    [
        ("fastapi>=0.139,<0.151", Severity.OK),
        ("fastapi>=0.139,<0.150", Severity.ERROR),  # stops the server
        ("numpy<2", Severity.WARNING),
        ("nowhere>=1", Severity.ERROR),
        ('nowhere>=1; extra == "ray"', Severity.OK),
    ],
)
def test_versions(requirement, severity):
    (found,) = check_versions([requirement], version_of)
    assert found.severity == severity
    assert (severity == Severity.OK) != found.command.startswith("pip install")


def test_this_environment_is_the_tested_one():
    requirements = own_requirements()
    assert any(r.startswith("fastapi") for r in requirements)
    assert [f.severity for f in check_versions(requirements)] == [Severity.OK]


def test_service_urls_come_from_the_environment_or_the_active_profile(tmp_path):
    profiles = 'active = "team"\n[profiles.team]\nPREFECT_API_URL = "http://prefect.lan/api"\n'
    (tmp_path / "profiles.toml").write_text(profiles)
    home = {"PREFECT_HOME": str(tmp_path)}
    assert service_urls(home) == {"Prefect": "http://prefect.lan/api"}
    assert service_urls({**home, "PREFECT_API_URL": "http://other/api"})["Prefect"] == "http://other/api"
    assert service_urls({"PREFECT_HOME": "/nowhere", "MLFLOW_TRACKING_URI": "sqlite:///x"}) == {}


class _Health(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/api/health" else 404)
        self.end_headers()

    def log_message(self, *args):
        pass


def test_a_service_that_answers_and_one_that_does_not():
    with HTTPServer(("127.0.0.1", 0), _Health) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://user:secret@127.0.0.1:{server.server_port}/api"
        assert check_service("Prefect", url).severity == Severity.OK
        assert check_service("Prefect", f"http://127.0.0.1:{server.server_port}").severity == Severity.ERROR
        server.shutdown()
    gone = check_service("Prefect", url)
    assert gone.severity == Severity.ERROR
    assert "secret" not in gone.model_dump_json()


@pytest.mark.parametrize(
    ("free", "needed", "severity"),
    [
        (10 << 30, 1 << 30, Severity.OK),
        (1 << 30, 1 << 30, Severity.WARNING),
        (1 << 28, 1 << 30, Severity.ERROR),
        (1 << 29, 0, Severity.WARNING),
    ],
)
def test_disk(free, needed, severity):
    assert check_disk(free, needed).severity == severity


def test_a_clean_workspace_has_no_leftovers(tmp_path):
    Store(tmp_path)
    assert [f.severity for f in check_leftovers(tmp_path)] == [Severity.OK]
    assert check_locks(tmp_path).severity == Severity.OK


def test_leftovers_of_each_kind_are_found(tmp_path):
    Store(tmp_path)
    for folder in (
        "artifacts/model/.tmp-abc",
        "artifacts/model/.damaged-abc-1",
        "scratch/abc",
        "tracking/run",
    ):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "tracking/run/1.json").write_text("{}")
    titles = [f.title for f in check_leftovers(tmp_path, now_s=time.time() + 8 * 86_400)]
    assert len(titles) == 4
    for words in ("half-written", "damaged", "unfinished work", "waiting for MLflow: 1 record"):
        assert any(words in title for title in titles)


def test_work_under_way_is_no_leftover(tmp_path):
    store = Store(tmp_path)
    (tmp_path / "artifacts/model/.tmp-abc").mkdir(parents=True)
    (tmp_path / "scratch/abc").mkdir(parents=True)
    with file_lock(store.locks_dir / "abc.lock"):
        assert not is_free(tmp_path, "abc")
        found = check_leftovers(tmp_path, now_s=time.time() + 8 * 86_400)
    assert [f.severity for f in found] == [Severity.OK]
    assert is_free(tmp_path, "abc")


HOLD = """
import sys, time
from pathlib import Path
from embedlib.disk import file_lock
with file_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/locks")
def test_a_stopped_process_with_a_lock_is_found_and_a_running_one_is_not(tmp_path):
    store = Store(tmp_path)
    command = [sys.executable, "-c", HOLD, str(store.locks_dir / "abc.lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            assert check_locks(tmp_path).severity == Severity.OK
            assert check_locks(tmp_path).evidence == {"held": 1}
            os.kill(holder.pid, signal.SIGSTOP)
            os.waitpid(holder.pid, os.WUNTRACED)
            stuck = check_locks(tmp_path)
            assert stuck.severity == Severity.WARNING
            assert f"kill {holder.pid}" in stuck.command
            assert check_locks(tmp_path, most_hours=-1).severity == Severity.WARNING
        finally:
            holder.kill()


def test_parts_that_name_another_model_or_corpus():
    released = {"model": "m", "corpus": "c", "vectors": "v", "index": "i"}
    fits = {"vectors": {"model": "m", "corpus": "c"}, "index": {"model": "m", "corpus": "c"}}
    assert check_pairing(released, fits).severity == Severity.OK
    found = check_pairing(released, {**fits, "index": {"model": "other", "corpus": "c"}})
    assert found.severity == Severity.ERROR
    assert found.evidence == {"index was made with another model": {"released": "m", "recorded": "other"}}


def test_vectors_that_the_model_does_not_give_any_more():
    x = np.random.default_rng(0).normal(size=(5, 16)).astype(np.float32)
    ids = list("abcde")
    assert check_same_vectors(x, 2 * x.astype(np.float16).astype(np.float32), ids).severity == Severity.OK
    other = x.copy()
    other[3] = -other[3]
    found = check_same_vectors(x, other, ids)
    assert (found.severity, found.evidence["document"]) == (Severity.ERROR, "d")
    assert check_same_vectors(x, x[:, :8], ids).severity == Severity.ERROR


@pytest.mark.parametrize(
    ("recorded", "installed", "severity"),
    [
        ("6.2.0", "6.2.0", Severity.OK),
        (None, "6.2.0", Severity.OK),
        ("5.1", "6.2.0", Severity.OK),
        ("10.0", "9.9", Severity.WARNING),
    ],
)
def test_a_model_from_a_newer_library(recorded, installed, severity):
    assert check_library(recorded, installed).severity == severity


def test_a_lock_that_is_a_link_to_itself_does_not_end_the_diagnosis(tmp_path):
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / "x.lock").symlink_to("x.lock")
    assert check_locks(tmp_path).severity == Severity.OK

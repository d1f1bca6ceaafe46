"""Code in the working directory is not run by any child process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from embedlib.cli.services import environment, mlflow_command, worker_command
from embedlib.loopback import server_command
from embedlib.process import child_environment, module_command, run_supervised, supervised_command
from embedlib.training.child import _command

TRAPS = (
    "queue", "random", "statistics", "uvicorn", "prefect", "mlflow", "torch", "embedlib", "flows", "sitecustomize",
)  # fmt: skip
#: Whatever was imported, what stands in the working directory is not there for what comes later.
LATER = "import random, queue, statistics, uvicorn, prefect.settings, flows, embedlib"


@pytest.fixture
def trapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with modules that leave a mark when they are run."""
    for name in TRAPS:
        (tmp_path / f"{name}.py").write_text(
            f"import pathlib\npathlib.Path({str(tmp_path)!r}, 'ran-{name}').touch()\nraise SystemExit(66)\n"
        )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", ":.:")
    return tmp_path


def ran(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.glob("ran-*"))


def run(command: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=100, check=False)


def test_without_protection_the_traps_spring(trapped):
    run([sys.executable, "-m", "random"], {"PATH": "/usr/bin"})
    assert ran(trapped) == ["ran-random"]


@pytest.mark.parametrize(
    "command",
    [
        module_command("embedlib.training", "missing.json"),
        supervised_command(module_command("embedlib.training", "missing.json")),
        [*_command(Path("missing.json"), 2)[:4], "--help"],
        [*server_command(0), "--version"],
        [*mlflow_command(Path("w"), 0)[:5], "--help"],
        [*worker_command("pool")[:6], "--help"],
    ],
    ids=["training", "launcher", "torchrun", "prefect server", "mlflow", "worker"],
)
def test_no_child_runs_code_of_the_working_directory(command, trapped):
    done = run(command, environment(0, trapped))
    assert ran(trapped) == []
    assert done.returncode == (1 if "missing.json" in command else 0), done.stderr


def test_nor_does_a_child_of_a_child(trapped):
    grandchild = f"import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', {LATER!r}]))"
    run_supervised(
        [sys.executable, "-c", grandchild], log=trapped / "log", timeout_s=100, stall_s=None, on_line=print
    )
    assert ran(trapped) == []


def test_nor_a_server_that_uvicorn_starts_by_itself(trapped):
    (trapped / "application.py").write_text("import pathlib; pathlib.Path('ran-application').touch()")
    done = run([sys.executable, "-m", "uvicorn", "application:app", "--port", "0"], child_environment())
    assert "Could not import module" in done.stderr
    assert ran(trapped) == []


def test_folders_that_were_named_stay_on_the_path(trapped, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"/opt/mine::{trapped / 'lib'}:lib")
    assert child_environment()["PYTHONPATH"] == f"/opt/mine:{trapped / 'lib'}"

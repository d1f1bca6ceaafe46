"""The import contracts hold, and would fail if they did not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PLANTED = {
    "embedlib/corpus/planted.py": ("import prefect\n", "embedlib knows no orchestrator"),
    "embedlib/mining/planted.py": ("import mlflow\n", "only embedlib.tracking imports mlflow"),
    "embedlib/models/planted.py": ("import embedlib.config.root\n", "library functions see no configuration"),
    "embedlib/retrieval/planted.py": ("import embedlib.index.build\n", "subjects stand in one order"),
    "tasks/planted.py": ("import flows.refresh\n", "flows call tasks, tasks call embedlib"),
}


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    tool = Path(sys.executable).with_name("lint-imports")
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(folder)}
    return subprocess.run(
        [tool, "--no-cache"], cwd=folder, env=env, capture_output=True, text=True, check=False
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("embedlib", "flows", "tasks"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_contracts_hold(checkout: Path) -> None:
    result = lint(checkout)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("place", PLANTED)
def test_a_planted_violation_is_found(checkout: Path, place: str) -> None:
    source, contract = PLANTED[place]
    (checkout / place).write_text(source)
    result = lint(checkout)
    assert result.returncode != 0
    assert f"{contract} BROKEN" in result.stdout

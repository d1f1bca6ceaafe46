"""The wheel, installed where no checkout is: its commands work, and its deployments run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from orchestra import ROOT, Orchestra

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` folder of an environment that has the wheel, and this one's libraries."""
    folder = tmp_path_factory.mktemp("wheel")
    names = subprocess.run(
        ["git", "ls-files", "embedlib", "flows", "tasks", "pyproject.toml", "README.md", "LICENSE"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    for name in names:
        (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / "source" / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    if subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode:
        pytest.skip("no pip in this environment")
    wheel = [*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(folder / "source")]
    built = subprocess.run(wheel, capture_output=True, text=True, check=False)
    if built.returncode and "setuptools" in built.stderr:
        pytest.skip("setuptools cannot be had")
    assert built.returncode == 0, built.stderr
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    packages = next((folder / "venv" / "lib").glob("python*/site-packages"))
    ours = [p for p in sys.path if p.endswith("site-packages")]
    (packages / "libraries.pth").write_text(
        "".join(f"import site; site.addsitedir({path!r})\n" for path in ours)
    )
    python = str(folder / "venv" / "bin" / "python")
    install = [*pip, "--python", python, "install", "--quiet", "--no-deps", "--force-reinstall"]
    subprocess.run([*install, str(next(folder.glob("*.whl")))], check=True)
    return folder / "venv" / "bin"


def _run(installed: Path, folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [str(installed / "embedlib"), *arguments]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | env
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def test_the_commands_work_outside_of_the_checkout(installed: Path, tmp_path: Path) -> None:
    assert "Search the live release" in _run(installed, tmp_path, "--help").stdout
    where = [str(installed / "python"), "-c", "import embedlib, flows, tasks; print(flows.__file__)"]
    found = subprocess.run(where, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert found.startswith(str(installed.parent))
    assert "ingest" in _run(installed, tmp_path, "config").stdout
    nothing = _run(installed, tmp_path, "search", "words", "--workspace", str(tmp_path / "ws"))
    assert nothing.returncode in (1, 2)
    assert "Traceback" not in nothing.stderr


def test_deploy_without_a_server_says_what_to_do(installed: Path, tmp_path: Path) -> None:
    done = _run(
        installed, tmp_path, "deploy", "--data", "docs", PREFECT_API_URL="", PREFECT_HOME=str(tmp_path)
    )
    assert done.returncode == 1
    assert "embedlib ui" in done.stderr


def test_what_is_deployed_from_the_wheel_runs(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("words")
    orchestra = Orchestra(tmp_path / "home")
    try:
        orchestra.start_server()
        done = _run(installed, tmp_path, "deploy", "--data", "docs", "--workspace", "ws", **orchestra.env)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == ["lifecycle", "refresh", "monitor", "evaluate"]
        found = orchestra.call("POST", "/deployments/filter")
        assert {d["name"]: d["entrypoint"] for d in found} == {
            name: f"flows.{name}.{name}" for name in ("lifecycle", "refresh", "monitor", "evaluate")
        }
        config = next(d["parameters"]["config"] for d in found if d["name"] == "refresh")
        assert config["workspace"] == str(tmp_path / "ws")
        assert config["ingest"]["source"]["path"] == "docs"
        steps = [d["pull_steps"] for d in found]
        assert (
            steps == [[{"prefect.deployments.steps.set_working_directory": {"directory": str(tmp_path)}}]] * 4
        )
    finally:
        orchestra.close()

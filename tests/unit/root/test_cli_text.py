"""What every command prints for people, on a workspace with a release."""

from __future__ import annotations

import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from embedlib.cli import main
from embedlib.cli.app import app, start_flow
from embedlib.errors import ServiceError
from embedlib.index.catalog import current
from embedlib.monitoring.report import check_live
from embedlib.monitoring.triggers import MonitorThresholds
from embedlib.store import Store

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

#: Arguments of each command, its exit codes, and what must stand in its output.
CASES: dict[str, tuple[list[str], set[int], list[str]]] = {
    "demo": (["-w", "WORKSPACE"], {0}, ["keep", "  • ", "release 1 is live", "“parse command"]),
    "run": (["-w", "WORKSPACE"], {0}, ["base", "nDCG@10", "keep", "  • ", "  → ", "report  "]),
    "refresh": (["-w", "WORKSPACE"], {0}, ["release 1 is live"]),
    "distil": (["-w", "WORKSPACE"], {0}, ["• "]),
    "rerank": (["-w", "WORKSPACE"], {0}, ["• "]),
    "search": (["river stone", "-w", "WORKSPACE", "-k", "3"], {0}, ["rank", " score", "d0"]),
    "releases": (["-w", "WORKSPACE"], {0}, ["→", "because of", "by hand"]),
    "rollback": (["-w", "WORKSPACE", "--to", "1"], {0}, ["release 1 is live"]),
    "verify": (["-w", "WORKSPACE"], {0}, ["artifacts", "0 damaged"]),
    "export": (["OUT", "-w", "WORKSPACE"], {0}, ["160 vectors in"]),
    "push-index": (
        ["-w", "WORKSPACE", "-s", "publish.target.type=lancedb", "-s", "publish.target.address=OUT"],
        {0},
        ["release 1 answers as embedlib_0001: 160 rows sent, 0 deleted"],
    ),
    "push-model": (["acme/m", "-w", "WORKSPACE", "--dry-run"], {0}, ["acme/m", "README.md"]),
    "serve": (["-w", "WORKSPACE"], {0}, ["serving"]),
    "estimate": (["-w", "WORKSPACE"], {0}, ["documents have no vector", "MB of vectors"]),
    "recommend": ([], {0}, ["all-MiniLM-L6-v2", "ruled out"]),
    "config": ([], {0}, ["workspace: workspace", "# The base model."]),
    "monitor": (["-w", "WORKSPACE"], {0}, ["release 1", "documents", "canar"]),
    "doctor": (["-w", "WORKSPACE"], {0, 1}, ["release: release 1 is live", "evidence", "versions: "]),
    "automations": ([], {0}, ["embedlib: dead runs"]),
    "deploy": (["-w", "WORKSPACE"], {0}, ["embedlib: dead runs"]),
    "ui": ([], {0}, ["served"]),
}


def outcome(root: Path) -> Any:
    """What a lifecycle returns, told of the release that is there."""
    from flows.outcome import RunOutcome

    release = current(root)
    assert release is not None
    decision = release.ref(root, "decision")
    report = Store(root).root / "report.html"
    return RunOutcome(
        verdict="keep",
        headline="Keep the base.",
        reasons=["no gain"],
        promoted=False,
        release=release.number,
        model=release.model.fingerprint,
        decision=decision.fingerprint,
        report=report,
    )


@pytest.fixture
def give(released: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    """Give a command; returns its exit code and its output. Trainings and services are left out."""

    def start_flow(name: str, **parameters: Any) -> tuple[Any, int]:
        if name == "monitor":
            limits = MonitorThresholds(**parameters["config"].monitor.model_dump())
            return check_live(released, limits, now=datetime.now(UTC)).summary(), 0
        decision = current(released).parts["decision"].fingerprint
        found = {"lifecycle": outcome(released), "refresh": 1, "distil": decision, "rerank": decision}
        return found[name], 0

    monkeypatch.setattr("embedlib.cli.lifecycle.start_flow", start_flow)
    monkeypatch.setattr("embedlib.cli.service.start_flow", start_flow)
    monkeypatch.setattr("embedlib.cli.service.from_flows", lambda name: lambda _: ["embedlib: dead runs"])
    monkeypatch.setattr("embedlib.cli.services.serve", lambda *_, **__: typer.echo("served"))
    monkeypatch.setattr("embedlib.cli.console.PIPED_WIDTH", 400)
    monkeypatch.setattr("embedlib.cli.serving.serve_live", lambda *_, **__: typer.echo("serving"))
    places = {"WORKSPACE": str(released), "OUT": str(tmp_path / "out")}
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["embedlib", *(places.get(word, word) for word in words)])
        with pytest.raises(SystemExit) as caught:
            main()
        return int(caught.value.code or 0), capsys.readouterr().out

    return run


def test_every_command_is_here():
    assert set(CASES) | {"evaluate"} == set(get_command(app).commands)  # its text: test_cli_evaluate.py


@pytest.mark.parametrize("command", CASES)
def test_the_text_of(command, give):
    words, codes, shown = CASES[command]
    code, out = give(command, *words)
    assert code in codes, out
    for text in shown:
        assert text in out


def test_releases_are_listed_with_their_model_by_name(give, released, capsys):
    from embedlib.cli.show import releases_table

    model = current(released).parts["model"]
    _, out = give("releases", "-w", "WORKSPACE")
    assert model.fingerprint[:8] not in out
    assert Path(Store(released).get("model", model.fingerprint).manifest.summary["source"]).name in out
    live = current(released)
    row = {**live.model_dump(mode="json"), "live": True, "model": "small, tuned", "answers": live.answers}
    releases_table([{**row, "number": 2}, row])
    assert [line.count("small, tuned (as in 1)") for line in capsys.readouterr().out.splitlines()[3:5]] == [
        1,
        0,
    ]


def test_the_doctor_names_what_is_broken_first_with_its_evidence(give, released):
    release = current(released)
    index = release.ref(released, "index").file("index.faiss")
    index.write_bytes(index.read_bytes()[:-10])
    code, out = give("doctor", "-w", "WORKSPACE")
    assert code == 1
    rows = [line for line in out.splitlines() if "│" in line]
    assert "error" in rows[0]
    assert "index.faiss" in out
    assert "embedlib r" in rows[0]


def test_what_a_run_left_undone_ends_with_1_after_its_result(give, monkeypatch):
    def start(name: str, *, tell, **_: Any) -> int:
        tell(ServiceError("release 7 is live, but the vector store did not follow", remedy="push-index"))
        return 7

    monkeypatch.setattr("embedlib.cli.app.from_flows", lambda name: start)
    monkeypatch.setattr("embedlib.cli.lifecycle.start_flow", start_flow)
    assert give("refresh", "-w", "WORKSPACE") == (1, "release 7 is live\n")


def test_the_doctor_exits_with_1_where_nothing_is_live(give, released):
    (released / "releases" / "current").unlink()
    shutil.rmtree(released / "releases" / "1")
    code, out = give("doctor", "-w", "WORKSPACE")
    assert code == 1
    assert "nothing is live" in out
    assert give("doctor")[0] == 1


def test_the_doctor_encodes_in_the_vectors_precision(released, monkeypatch):
    import json

    import numpy as np

    from embedlib.doctor.released import ReleaseDoctor

    release = current(released)
    path = release.ref(released, "vectors").file("vectors.json")
    info = json.loads(path.read_text())
    assert info["encoding"]["precision"] == "fp32"
    info["encoding"]["precision"] = "bf16"
    path.write_text(json.dumps(info))
    asked = []
    monkeypatch.setattr("embedlib.models.local.load_encoder", lambda folder, dtype: asked.append(dtype))
    assert ReleaseDoctor(released, release, np.random.default_rng(0)).encoder is None
    assert asked == ["bf16"]

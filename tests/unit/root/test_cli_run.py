"""``embedlib run``: what reaches the flow."""

from __future__ import annotations

import shlex
import sys
from datetime import UTC, datetime
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from embedlib.cli import main
from embedlib.cli.show import first_release_line
from embedlib.errors import ServiceError
from embedlib.index.catalog import PARTS, Part, Release
from embedlib.retrieval.plan import HYBRID


@pytest.fixture
def given_to_the_flow(monkeypatch, tmp_path):
    """Give a command; returns the configuration that the flow would have run with."""

    def give(*arguments):
        found = {}

        def stop(name, config, verbosity):
            found[name] = config
            raise ServiceError("stopped where the flow would start")

        monkeypatch.setattr("embedlib.cli.lifecycle.start_flow", stop)
        monkeypatch.chdir(tmp_path)
        (tmp_path / "my docs").mkdir()
        monkeypatch.setattr(sys, "argv", ["/somewhere/bin/embedlib", *arguments])
        with pytest.raises(SystemExit):
            main()
        return found["lifecycle"]

    return give


def test_the_report_is_told_the_command_that_reproduces_the_run(given_to_the_flow):
    words = ["run", "--data", "my docs", "--workspace", "ws", "--set", "train.matryoshka=[192, 96]"]
    command = given_to_the_flow(*words).report.command
    assert shlex.split(command) == ["embedlib", *words]
    assert "'my docs'" in command


def test_a_broken_installation_is_told_in_one_sentence(monkeypatch, tmp_path, capsys):
    (tmp_path / "broken_flows.py").write_text("import no_such_library")
    monkeypatch.syspath_prepend(tmp_path)
    flows = [EntryPoint("automations", "broken_flows:install", "embedlib.flows")]
    monkeypatch.setattr("embedlib.cli.app.entry_points", lambda **_: flows)
    monkeypatch.setattr(sys, "argv", ["embedlib", "automations"])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr().err
    assert ended.value.code == 1
    assert "the installed packages are broken: No module named 'no_such_library'" in told
    assert "pip check" in told
    assert "pip install --force-reinstall --no-deps no_such_library" in told
    assert "Traceback" not in told


def test_a_configured_command_stays(given_to_the_flow):
    assert given_to_the_flow(
        "run", "--data", "my docs", "--set", "report.command=make nightly"
    ).report.command == ("make nightly")


def test_the_time_to_the_first_search_is_told_by_the_run_that_made_it(monkeypatch, capsys):
    parts = {name: Part(kind=name, fingerprint="f", digest="d") for name in PARTS}
    first = Release(number=1, created_at="2026-01-01T10:00:48+00:00", parts=parts, search=HYBRID)
    later = Release(number=2, created_at="2026-01-01T10:04:00+00:00", parts=parts, parents=[1])
    monkeypatch.setattr("embedlib.index.catalog.releases", lambda root: [later, first])
    first_release_line(Path("ws"), datetime(2026, 1, 1, 10, 0, 0, tzinfo=UTC))
    assert "release 1 could be searched after 48 s, as hybrid (BM25 weight 0.3)" in capsys.readouterr().out
    first_release_line(Path("ws"), datetime(2026, 1, 2, tzinfo=UTC))
    assert capsys.readouterr().out == ""

"""``embedlib run``: what reaches the flow."""

from __future__ import annotations

import shlex
import sys

import pytest

from embedlib.cli import main
from embedlib.errors import ServiceError


@pytest.fixture
def given_to_the_flow(monkeypatch, tmp_path):
    """Give a command; returns the configuration that the flow would have run with."""

    def give(*arguments):
        found = {}

        def stop(name, config):
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


def test_a_configured_command_stays(given_to_the_flow):
    assert given_to_the_flow(
        "run", "--data", "my docs", "--set", "report.command=make nightly"
    ).report.command == ("make nightly")

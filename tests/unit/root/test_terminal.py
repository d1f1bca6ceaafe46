"""What a run looks like at a terminal, and in a file."""

from __future__ import annotations

import importlib
import io
import logging
import sys

import pytest
from rich.console import Console
from typer.testing import CliRunner

from embedlib import progress
from embedlib.cli import app as cli_app
from embedlib.cli import terminal as cli_terminal
from embedlib.cli.terminal import terminal
from embedlib.errors import EmbedlibError, UserError

cli_main = importlib.import_module("embedlib.cli.main")  # the package has the function under that name


class Screen(io.StringIO):
    """A stream that is a terminal or is not."""

    def __init__(self, tty: bool) -> None:
        super().__init__()
        self.tty = tty

    def isatty(self) -> bool:
        return self.tty


def shown(monkeypatch, tmp_path, *, tty: bool, verbosity: int = 0) -> tuple[str, str]:
    """Screen and log file of a run of three stages that logs a little."""
    stream = Screen(tty)
    screen = Console(file=stream, force_terminal=tty, width=100, markup=False, emoji=False, highlight=False)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(cli_terminal, "console", lambda **_: screen)
    with terminal(tmp_path, "lifecycle", verbosity) as records:
        for level, name, text in (
            (logging.INFO, "embedlib.corpus", "an aside"),
            (logging.WARNING, "embedlib.corpus", "bad id \x1b[31m :x: [b]"),
            (logging.ERROR, "prefect.flow_runs", "Crash detected!"),
            (logging.ERROR, "embedlib.index", "a failure"),
        ):
            records.handle(logging.LogRecord(name, level, __file__, 1, text, (), None))
        progress.began("ingest")
        progress.ended("ingest", "reused")
        progress.began("encode base")
        progress.watched("encode base", progress.silent)(512, 2048, "documents")
        progress.ended("encode base", "done")
        progress.began("train")
        curve = progress.watched_curve("train", progress.no_curve)
        for step, value in enumerate((0.4812, 0.4934)):
            curve("dev.nDCG@10", step, value)
            curve("loss", step, 1 - value)
        progress.ended("train", "failed")
    assert progress.watching == []
    (log,) = (tmp_path / "logs").iterdir()
    return stream.getvalue(), log.read_text()


def test_a_terminal_shows_stages_with_their_state_and_what_matters(monkeypatch, tmp_path):
    screen, log = shown(monkeypatch, tmp_path, tty=True)
    for part in (
        "ingest",
        "reused",
        "encode base",
        "documents 512 of 2,048",
        "done",
        "train",
        "failed",
        "dev 0.481 0.493, loss 0.507",
    ):
        assert part in screen
    assert "warning: bad id \\x1b[31m :x: [b]" in screen
    assert "error: a failure" in screen
    assert "an aside" not in screen
    assert "Crash detected" not in screen
    assert all(part in log for part in ("an aside", "bad id", "Crash detected!", "a failure"))


def test_a_file_gets_few_plain_lines(monkeypatch, tmp_path):
    screen, _ = shown(monkeypatch, tmp_path, tty=False)
    assert "\x1b" not in screen
    lines = screen.splitlines()
    assert lines[0].startswith(f"lifecycle in {tmp_path}; everything is logged in ")
    assert [line.split()[:2] for line in lines[1:]] == [
        ["warning:", "bad"], ["error:", "a"], ["ingest", "reused"], ["encode", "base"],
        ["train", "dev.nDCG@10"], ["train", "dev.nDCG@10"], ["train", "failed"],
    ]  # fmt: skip


def test_more_with_v_and_errors_alone_with_q(monkeypatch, tmp_path):
    more, _ = shown(monkeypatch, tmp_path / "v", tty=True, verbosity=1)
    assert "an aside" in more
    assert "Crash detected!" in more
    less, log = shown(monkeypatch, tmp_path / "q", tty=True, verbosity=-1)
    assert less.splitlines() == ["error: a failure"]
    assert "an aside" in log


@pytest.mark.parametrize("asked", ["-h", "--help"])
def test_help_is_grouped_and_every_command_is_in_a_group(asked):
    result = CliRunner().invoke(cli_app.app, [asked])
    assert result.exit_code == 0
    assert all(panel in result.output for panel in cli_main.PANELS)
    names = {c.name or c.callback.__name__ for c in cli_app.app.registered_commands}
    assert names == {name for group in cli_main.PANELS.values() for name in group}
    assert all(command.rich_help_panel for command in cli_app.app.registered_commands)


def test_version_and_completion():
    assert CliRunner().invoke(cli_app.app, ["--version"]).output.startswith("embedlib ")
    assert CliRunner().invoke(cli_app.app, []).output.count("Usage") == 1
    assert "--install-completion" in CliRunner().invoke(cli_app.app, ["-h"]).output


def test_an_interrupt_says_how_to_go_on(monkeypatch, capsys, tmp_path):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("embedlib.index.release.rollback", interrupted)
    (tmp_path / "releases").mkdir()
    monkeypatch.setattr(sys, "argv", ["embedlib", "rollback", "-w", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        cli_main.main()
    assert ended.value.code == 130
    assert capsys.readouterr().err.strip() == "stopped; the same command goes on from here"


def test_an_error_leaves_screen_and_log_as_they_were(monkeypatch, tmp_path):
    with pytest.raises(UserError), terminal(tmp_path, "lifecycle") as records:
        logging.getLogger().addHandler(records)
        raise UserError("wrong")
    assert progress.watching == []
    assert records not in logging.getLogger().handlers


def test_a_workspace_that_takes_no_log_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbedlibError), terminal(tmp_path / "file", "lifecycle"):
        pass

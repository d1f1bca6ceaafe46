"""Generated parts of the README are what the program says now."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from embedlib.cli import main  # noqa: F401 - registers every command
from embedlib.cli.app import app

README = Path(__file__).resolve().parents[3] / "README.md"


def commands() -> dict[str, tuple[str, str]]:
    """Name of each command with the first line of its help and its example."""
    group = get_command(app)
    found = {}
    for name, command in group.commands.items():
        text = command.help or ""
        example = re.search(r"Example: (.+)", text)
        found[name] = (text.splitlines()[0], example.group(1).strip() if example else "")
    return found


def test_every_command_has_an_example_that_names_it() -> None:
    for name, (_, example) in commands().items():
        assert example.startswith(f"embedlib {name}"), name


def test_the_command_table_is_up_to_date() -> None:
    table = ["| command | what it does |", "| --- | --- |"]
    table += [f"| `embedlib {name}` | {what} |" for name, (what, _) in commands().items()]
    expected = "<!-- commands -->\n" + "\n".join(table) + "\n<!-- /commands -->"
    assert expected in README.read_text(encoding="utf-8"), f"put this into README.md:\n{expected}"


@pytest.mark.parametrize("name", sorted(commands()))
def test_help_of_every_command_renders(name: str) -> None:
    from typer.testing import CliRunner

    result = CliRunner().invoke(app, [name, "--help"])
    assert result.exit_code == 0
    assert isinstance(app, typer.Typer)
    assert "Example" in result.output

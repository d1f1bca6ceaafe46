"""Write the pages that are made from the program itself: commands.md and configuration.md.

python docs/generate.py
"""

from __future__ import annotations

from pathlib import Path

from typer.main import get_command

from embedlib.cli import main  # noqa: F401 - registers every command
from embedlib.cli.app import app
from embedlib.config.example import annotated_example
from embedlib.config.root import Config

HERE = Path(__file__).parent


def commands_page() -> str:
    """Every command with its help, example and options."""
    parts = ["# Commands\n", "Made from the program's own help; `embedlib COMMAND --help` prints the same.\n"]
    for name, command in get_command(app).commands.items():
        text = command.help or ""
        what, _, example = text.partition("Example:")
        parts.append(f"## embedlib {name}\n\n{what.strip()}\n")
        if example:
            parts.append(f"```\n{example.strip()}\n```\n")
        rows = [_row(parameter) for parameter in command.params if parameter.name != "help"]
        if rows:
            parts.append("\n".join(["| option | meaning |", "|---|---|", *rows]) + "\n")
    return "\n".join(parts)


def _row(parameter: object) -> str:
    names = " ".join(f"`{name}`" for name in getattr(parameter, "opts", ()))
    if getattr(parameter, "param_type_name", "") == "argument":
        names = f"`{str(getattr(parameter, 'name', '')).upper()}`"
    meaning = " ".join((getattr(parameter, "help", "") or "").split())
    return f"| {names} | {meaning} |".replace("<", "&lt;")


def configuration_page() -> str:
    """Every section and option with its description, bounds and default."""
    return (
        "# Configuration\n\nOne YAML file, a section a stage. A file that names only the documents is "
        "complete; `embedlib config --check FILE` says everything that is wrong with one.\n\n"
        f"```yaml\n{annotated_example(Config)}```\n"
    )


PAGES = {"commands.md": commands_page, "configuration.md": configuration_page}


if __name__ == "__main__":
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), encoding="utf-8")

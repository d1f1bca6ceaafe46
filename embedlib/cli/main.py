"""The entry point: commands gathered, errors turned into messages and exit codes."""

from __future__ import annotations

import os
import sys

from rich.console import Console

from embedlib.cli import lifecycle, live, measure, model, service
from embedlib.cli.app import app
from embedlib.errors import EmbedlibError

COMMANDS = (lifecycle, live, measure, model, service)


def main() -> None:
    """Run a command; exit with 2 for the user's mistake, 1 for a failure, 130 when interrupted."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ["PYTHONSAFEPATH"] = "1"  # children of libraries too (Dask, Prefect) import nothing from here
    try:
        app()
    except EmbedlibError as error:
        head, _, rest = error.render().partition("\n")
        Console(stderr=True).print(f"[bold red]error:[/] {_plain(head)}", highlight=False, soft_wrap=True)
        if rest:
            Console(stderr=True).print(_plain(rest), highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)

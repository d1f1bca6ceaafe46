"""The entry point: commands gathered, errors turned into messages and exit codes."""

from __future__ import annotations

import os
import sys

from embedlib.cli import lifecycle, live, measure, model, service
from embedlib.cli.app import app, broken_installation, print_error
from embedlib.cli.console import say
from embedlib.errors import EmbedlibError

COMMANDS = (lifecycle, live, measure, model, service)
#: How Typer ends where an interrupt arrives.
INTERRUPTED = 130
#: The groups of `embedlib --help`, in their order.
PANELS = {
    "Make a release": ("demo", "run", "refresh", "distil", "rerank"),
    "Use it": ("search", "serve", "releases", "rollback", "verify", "export", "push-index", "push-model"),
    "Measure and choose": ("evaluate", "estimate", "recommend"),
    "Keep it running": ("config", "monitor", "doctor", "automations", "deploy", "ui"),
}
for _command in app.registered_commands:
    _name = _command.name or getattr(_command.callback, "__name__", "")
    _command.rich_help_panel = next((p for p, names in PANELS.items() if _name in names), None)


def main() -> None:
    """Run a command; exit with 2 for the user's mistake, 1 for a failure, 130 when interrupted."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ["PYTHONSAFEPATH"] = "1"  # children of libraries too (Dask, Prefect) import nothing from here
    try:
        app()
    except EmbedlibError as error:
        print_error(error)
        sys.exit(error.exit_code)
    except ImportError as error:  # extras that are not installed are told where they are used
        print_error(broken_installation(error))
        sys.exit(1)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            say("stopped; the same command goes on from here", stderr=True)
        raise

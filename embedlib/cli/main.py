"""The entry point: commands gathered, errors turned into messages and exit codes."""

from __future__ import annotations

import os
import sys

from embedlib.cli import lifecycle, live, measure, model, service
from embedlib.cli.app import app, print_error
from embedlib.errors import EmbedlibError

COMMANDS = (lifecycle, live, measure, model, service)


def main() -> None:
    """Run a command; exit with 2 for the user's mistake, 1 for a failure, 130 when interrupted."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ["PYTHONSAFEPATH"] = "1"  # children of libraries too (Dask, Prefect) import nothing from here
    try:
        app()
    except EmbedlibError as error:
        print_error(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)

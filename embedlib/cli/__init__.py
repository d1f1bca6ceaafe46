"""The command line."""

from embedlib.cli.main import main

__all__ = ["main"]

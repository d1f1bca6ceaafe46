"""The terminal: what is printed there is printed as it stands."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.text import Text

from embedlib import escape

#: Columns of a line that goes to a file or a pipe, where nothing is known of who reads it.
PIPED_WIDTH = 120


def console(*, stderr: bool = False) -> Console:
    """The terminal at its own width, or a file at one that tables fit in; no markup, no emoji names."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else PIPED_WIDTH
    return Console(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)


def plain(text: str, style: str = "") -> Text:
    """A text of anybody's for the console."""
    return Text(escape.terminal(text), style)


def say(text: str, style: str = "", *, stderr: bool = False) -> None:
    """Print a text, its lines as long as they are."""
    console(stderr=stderr).print(plain(text, style), soft_wrap=True)

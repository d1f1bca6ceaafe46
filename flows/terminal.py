"""What a person at a terminal sees of an error that was raised on purpose: its message, once and at once.

Prefect writes such an error several times, each with a traceback, and a run that fails closes its
records before it ends. The tracebacks stay in the Prefect UI.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator

from prefect.logging.handlers import PrefectConsoleHandler

from embedlib.errors import EmbedlibError

Tell = Callable[[EmbedlibError], None]

#: How Prefect words the end of a run or of a task in its log.
ENDED = re.compile(r"encountered an exception:? (\w+): ")


class PlainErrors(logging.Filter):
    """Keeps Prefect's own records of errors raised on purpose from a handler."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is anything else."""
        if record.exc_info and isinstance(record.exc_info[1], EmbedlibError):
            return False
        ended = ENDED.search(record.getMessage())
        return ended is None or ended[1] not in {kind.__name__ for kind in _kinds(EmbedlibError)}


class _Terminal:
    tell: Tell | None = None


def at_terminal(tell: Tell, records: logging.Handler | None = None) -> None:
    """Let errors be told by ``tell`` in this process, and by nothing else on its console.

    Args:
        tell: Told of an error that ends the run.
        records: Gets everything that is logged in place of Prefect's own console.
    """
    _Terminal.tell = tell
    root = logging.getLogger()
    for handler in list(root.handlers):
        if records and isinstance(handler, PrefectConsoleHandler):
            root.removeHandler(handler)
        elif not any(isinstance(known, PlainErrors) for known in handler.filters):
            handler.addFilter(PlainErrors())
    if records:
        root.addHandler(records)
        logging.getLogger("embedlib").setLevel(logging.INFO)


def tell_now(error: BaseException) -> None:
    """Tell an error that was raised on purpose before the run that it ends is closed."""
    if _Terminal.tell is not None and isinstance(error, EmbedlibError):
        _Terminal.tell(error)


def _kinds(kind: type[EmbedlibError]) -> Iterator[type[EmbedlibError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _kinds(child)

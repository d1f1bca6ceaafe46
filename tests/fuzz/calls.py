"""A command of embedlib in this process, and a library call, with what became of them."""

from __future__ import annotations

import io
import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple

from embedlib.cli import main
from embedlib.errors import EmbedlibError


class Outcome(NamedTuple):
    """Exit code (None where it crashed), what was printed, the traceback of a crash."""

    code: int | None
    out: str
    err: str
    crash: str = ""


def command(*arguments: str) -> Outcome:
    """Run the command line as a shell would, without a new process."""
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["embedlib", *arguments]
    code, crash = 0, ""
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        code, crash = None, traceback.format_exc()
    finally:
        sys.argv = before
    return Outcome(code, out.getvalue(), err.getvalue(), crash)


def library(call: Callable[[], object]) -> Outcome:
    """Call a function as a command would: a typed error is a message, anything else a crash."""
    try:
        return Outcome(0, str(call()), "")
    except EmbedlibError as error:
        return Outcome(error.exit_code, "", str(error))
    except Exception:
        return Outcome(None, "", "", traceback.format_exc())

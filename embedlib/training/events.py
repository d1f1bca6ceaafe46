"""What a training process tells its parent: one JSON object a line on its standard output."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from embedlib import errors
from embedlib.errors import EmbedlibError, TrainingError

PREFIX = '{"event": '


def emit(event: str, **values: Any) -> None:
    """Write one event."""
    sys.stdout.write(json.dumps({"event": event, **values}) + "\n")
    sys.stdout.flush()


def parse(line: str) -> dict[str, Any] | None:
    """The event on a line of output; None for any other line."""
    if not line.startswith(PREFIX):
        return None
    try:
        value = json.loads(line)
    except json.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def emit_error(error: EmbedlibError) -> None:
    """Tell the parent which typed error ended the run."""
    aspects = {name: getattr(error, name) for name in ("what", "where", "expected", "found", "remedy")}
    emit("error", type=type(error).__name__, problems=getattr(error, "problems", None), **aspects)


def error_of(event: dict[str, Any]) -> EmbedlibError:
    """The typed error that an error event tells of."""
    kind = getattr(errors, str(event.get("type")), TrainingError)
    where, remedy = str(event.get("where", "")), str(event.get("remedy", ""))
    if kind is errors.ConfigError:
        return errors.ConfigError(event.get("problems") or [], where=where, remedy=remedy)
    return kind(
        str(event["what"]),
        where=where,
        expected=str(event.get("expected", "")),
        found=str(event.get("found", "")),
        remedy=remedy,
    )


def report_progress(done: int, total: int | None, what: str) -> None:
    """Progress (see ``embedlib.progress``) told to the parent, at most twice a second."""
    now = time.monotonic()
    if done == total or now - _told.get(what, 0.0) >= EVERY_S:
        _told[what] = now
        emit("progress", done=done, total=total, what=what)


EVERY_S = 0.5
_told: dict[str, float] = {}

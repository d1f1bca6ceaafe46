"""The audit trail of the releases, ``releases/history.jsonl``: one line an event, appended and synced.

It is a record, not the truth: what is there and what is live stands in the folder itself.
"""

from __future__ import annotations

import getpass
import json
import logging
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from embedlib.disk import append_line, write_atomic
from embedlib.index.catalog import releases_dir

logger = logging.getLogger(__name__)


def history(root: Path) -> list[dict[str, Any]]:
    """The audit trail, oldest first: action, from, to, at, who, why.

    A garbled line is left out with a warning; a torn last line, left by a power cut, is not part of it.
    """
    entries, garbled = read_history(root)
    if garbled:
        logger.warning("%s", garbled_lines(root, garbled))
    return entries


def read_history(root: Path) -> tuple[list[dict[str, Any]], list[int]]:
    """The entries of the audit trail, and the numbers of the lines that are none."""
    path = releases_dir(root) / "history.jsonl"
    try:
        *lines, _torn = path.read_bytes().split(b"\n")
    except OSError:
        return [], []
    entries, garbled = [], []
    for number, line in enumerate(lines, start=1):
        entry = _entry(line)
        if entry is None:
            garbled.append(number)
        else:
            entries.append(entry)
    return entries, garbled


def garbled_lines(root: Path, numbers: Sequence[int]) -> str:
    """What to say of lines of the audit trail that cannot be read."""
    path = releases_dir(root) / "history.jsonl"
    return f"garbled and left out: line {', '.join(map(str, numbers))} of {path}"


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    whole = isinstance(entry, dict) and isinstance(entry.get("to", 0), int | None) and "action" in entry
    return entry if whole and "to" in entry else None


def record(root: Path, action: str, before: int | None, after: int | None, **details: Any) -> None:
    """Append one line to the audit trail and sync it."""
    entry = {"action": action, "from": before, "to": after, "at": now(), **details}
    line = json.dumps({k: v for k, v in entry.items() if v is not None or k in ("from", "to")})
    append_line(releases_dir(root) / "history.jsonl", line.encode(), durable=True)


def mend_history(root: Path) -> list[str]:
    """Cut off a last line that a power cut has torn; returns what was done."""
    path = releases_dir(root) / "history.jsonl"
    if not path.is_file() or not (data := path.read_bytes()) or data.endswith(b"\n"):
        return []
    write_atomic(path, data[: data.rfind(b"\n") + 1])
    return ["cut a torn line off history.jsonl"]


def now() -> str:
    """The time in UTC, ISO 8601 to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def user_name() -> str:
    """Who runs this process, for the audit trail."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"

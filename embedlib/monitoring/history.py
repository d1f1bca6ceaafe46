"""What monitoring saw, told and learned, one JSON line a record, appended under a lock.

The file is ``workspace/monitor/history.jsonl``. A line that a crash cut short is skipped by every
reader and never glued to the next record. Times are UTC and are passed in, never read from a clock.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from embedlib.disk import append_line, file_lock, write_atomic
from embedlib.errors import counted

logger = logging.getLogger(__name__)


class HistoryRecord(BaseModel):
    """One line of the history."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_version: Literal[1] = 1
    at: datetime


class Signal(BaseModel):
    """One thing looked at: its value, the threshold, and whether it speaks for an event."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    value: float
    threshold: float
    fired: bool
    evidence: dict[str, Any] = {}


class Check(HistoryRecord):
    """One run of the monitor on one release (by number) and its model (by content digest)."""

    kind: Literal["check"] = "check"
    release: int
    model: str
    signals: list[Signal] = []
    figures: dict[str, float] = {}
    notes: list[str] = []

    def signal(self, name: str) -> Signal | None:
        """The signal of that name, if this check had it."""
        return next((s for s in self.signals if s.name == name), None)


class Event(HistoryRecord):
    """Something to act on, with its evidence; ``release`` and ``model`` were live then.

    ``id`` is the same however often the event is emitted again, so that what follows can be
    idempotent; ``attempt`` counts the emissions.
    """

    kind: Literal["event"] = "event"
    id: str
    name: str
    resource: str
    release: int
    model: str
    attempt: int = 1
    evidence: dict[str, Any] = {}

    def payload(self) -> dict[str, Any]:
        """What travels with the event, as JSON values: the typed parameter of the triggered flow."""
        values = self.model_dump(mode="json", exclude={"kind", "schema_version", "name"})
        return {"event": self.name, **values}


class EventOutcome(HistoryRecord):
    """What became of an event: a run took it up, and how that ended."""

    kind: Literal["outcome"] = "outcome"
    event_id: str
    state: Literal["started", "published", "kept", "failed"]
    detail: str = ""


AnyRecord = Annotated[Check | Event | EventOutcome, Field(discriminator="kind")]
_LINE: TypeAdapter[Check | Event | EventOutcome] = TypeAdapter(AnyRecord)


class Past(NamedTuple):
    """The history by kind of record, each oldest first."""

    checks: list[Check]
    events: list[Event]
    outcomes: list[EventOutcome]


def past_of(records: Iterable[Check | Event | EventOutcome]) -> Past:
    """Records sorted by time and parted by kind."""
    past = Past([], [], [])
    for record in sorted(records, key=lambda r: r.at):
        if isinstance(record, Check):
            past.checks.append(record)
        elif isinstance(record, Event):
            past.events.append(record)
        else:
            past.outcomes.append(record)
    return past


class History:
    """The workspace's monitoring history."""

    def __init__(self, root: Path | str) -> None:
        self.folder = Path(root) / "monitor"
        self.path = self.folder / "history.jsonl"

    def append(self, *records: Check | Event | EventOutcome) -> None:
        """Write records at the end; on return they are on the disk."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not records:
            return
        lines = "\n".join(record.model_dump_json() for record in records).encode()
        with file_lock(self.folder / "history.lock"):
            append_line(self.path, lines, durable=True)

    def read(self, since: datetime | None = None) -> Past:
        """Every readable record, or those at or after ``since``; others are counted in a warning."""
        records, unreadable = [], 0
        if not self.path.is_file():
            return Past([], [], [])
        for line in self.path.read_bytes().splitlines():
            if not line.strip():
                continue
            try:
                records.append(_LINE.validate_json(line))
            except ValidationError:
                unreadable += 1
        if unreadable:
            logger.warning("%s: %s skipped", self.path, counted(unreadable, "unreadable line"))
        return past_of(r for r in records if since is None or r.at >= since)

    def prune(self, before: datetime) -> int:
        """Drop checks older than ``before`` in one atomic step; events and outcomes, the audit
        trail, stay. Returns how many were dropped.
        """
        if not self.path.is_file():
            return 0
        with file_lock(self.folder / "history.lock"):
            past = self.read()
            old = [c for c in past.checks if c.at < before]
            if old:
                kept = [c for c in past.checks if c.at >= before]
                records = sorted([*kept, *past.events, *past.outcomes], key=lambda r: r.at)
                write_atomic(self.path, "".join(r.model_dump_json() + "\n" for r in records))
        return len(old)

"""The monitor's one entry point, and what it tells people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from embedlib.corpus.marks import SERVED_QUERIES
from embedlib.disk import disk_errors
from embedlib.escape import markdown
from embedlib.index.catalog import releases
from embedlib.monitoring.check import Observer
from embedlib.monitoring.history import Check, Event, EventOutcome, History, Signal
from embedlib.monitoring.live import open_live
from embedlib.monitoring.triggers import EVENT_OF, MonitorThresholds, Released, due_events, new_events

TREND_CHECKS = 48
HISTORY_DAYS = 400
BARS = "▁▂▃▄▅▆▇█"


class Trend(NamedTuple):
    """A figure over the latest checks: values oldest first, and the least-squares slope a day."""

    figure: str
    values: list[float]
    per_day: float


class MonitorReport(NamedTuple):
    """What one check saw, and the events that should be emitted now (new ones and lost ones)."""

    check: Check | None
    events: list[Event]
    trends: list[Trend]
    notes: list[str]

    @property
    def alarming(self) -> list[Signal]:
        """Signals that fired."""
        return [s for s in self.check.signals if s.fired] if self.check else []

    def summary(self) -> dict[str, Any]:
        """Figures and events as JSON values."""
        return {
            "release": self.check.release if self.check else None,
            "fired": [s.name for s in self.alarming],
            "events": [e.name for e in self.events],
            "figures": self.check.figures if self.check else {},
            "notes": self.notes,
        }

    def markdown(self) -> str:
        """The report as a person reads it, with sparklines that need no network."""
        if self.check is None:
            return "\n".join(map(markdown, self.notes))
        lines = [
            f"Release {self.check.release}, model `{self.check.model[:12]}`, {self.check.at:%Y-%m-%d %H:%M}",
            "",
            "| signal | value | threshold | state | latest checks | a day |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        trends = {t.figure: t for t in self.trends}
        lines += [_row(signal, trends.get(signal.name)) for signal in self.check.signals]
        lines += [
            "",
            *(f"- event `{e.name}` (emission {e.attempt}): {markdown(str(e.evidence))}" for e in self.events),
        ]
        return "\n".join([*lines, *(f"- note: {markdown(note)}" for note in self.notes)])


def check_live(
    root: Path, limits: MonitorThresholds, *, now: datetime, seed: int = 0, fresh_corpus: Path | None = None
) -> MonitorReport:
    """Look at the live release, remember what was seen, and say which events to emit.

    Events are in the history before they are returned, so that one that its caller fails to emit
    is found by a later check and returned again.

    Args:
        root: The workspace.
        limits: What is watched and when it counts; the queries that ``embedlib serve`` logged where it
            names no log.
        now: Time of the check (UTC).
        seed: Seed of samples and tests.
        fresh_corpus: Corpus artifact of the sources as they are now; None = not compared.

    Raises:
        ReleaseError: ``releases/current`` names no readable release.
        NotWritable: What was seen cannot be remembered.
    """
    live = open_live(root)
    if live is None:
        return MonitorReport(None, [], [], ["nothing is published yet: nothing to watch"])
    if limits.query_log is None:
        limits = replace(limits, query_log=Path(root) / SERVED_QUERIES)
    with disk_errors(Path(root)):
        history = History(root)
        rng = np.random.default_rng([seed, *b"monitor"])
        check = Observer(live, limits, history, now=now, rng=rng).check(fresh_corpus)
        history.append(check)
        again = reconcile(root, limits, now=now)
        past = history.read()
        resource = f"embedlib.workspace.{Path(root).resolve().name}"
        new = new_events(past, limits, resource=resource, now=now)
        history.append(*new)
        history.prune(now - timedelta(days=HISTORY_DAYS))
        return MonitorReport(check, [*again, *new], trends(past.checks), check.notes)


def reconcile(root: Path, limits: MonitorThresholds, *, now: datetime) -> list[Event]:
    """Events that were raised and led to nothing, to be emitted again; they are recorded as emitted.

    Calling it twice returns them once.
    """
    history = History(root)
    published = [
        Released(datetime.fromisoformat(r.created_at), r.parts["model"].digest) for r in releases(root)
    ]
    due = due_events(history.read(), published, limits, now=now)
    if due:
        history.append(*due)
    return due


def acknowledge(root: Path, event_id: str, state: str, *, now: datetime, detail: str = "") -> None:
    """Record what became of an event: ``started``, ``published``, ``kept`` or ``failed``."""
    History(root).append(
        EventOutcome.model_validate({"at": now, "event_id": event_id, "state": state, "detail": detail})
    )


def trends(checks: Sequence[Check], last: int = TREND_CHECKS) -> list[Trend]:
    """Each figure of the latest check over the last ``last`` checks that have it."""
    recent = checks[-last:]
    found = []
    for name in checks[-1].figures if checks else ():
        points = [(c.at.timestamp() / 86_400, c.figures[name]) for c in recent if name in c.figures]
        found.append(Trend(name, [v for _, v in points], _slope(points)))
    return found


def sparkline(values: Sequence[float]) -> str:
    """Values as bars from the lowest to the highest.

    >>> sparkline([1, 2, 3])
    '▁▄█'
    """
    low, high = min(values), max(values)
    if high - low < 1e-12:
        return BARS[0] * len(values)
    return "".join(BARS[int((v - low) / (high - low) * (len(BARS) - 1))] for v in values)


def _slope(points: Sequence[tuple[float, float]]) -> float:
    days, values = np.array([p[0] for p in points]), np.array([p[1] for p in points])
    centred = days - days.mean()
    spread = float(centred @ centred)
    return float(centred @ (values - values.mean())) / spread if spread > 0 else 0.0


def _row(signal: Signal, trend: Trend | None) -> str:
    state = ("**fired**" if signal.name in EVENT_OF else "remark") if signal.fired else "ok"
    bars, slope = (sparkline(trend.values), f"{trend.per_day:+.3g}") if trend else ("", "")
    return f"| {signal.name} | {signal.value:.3f} | {signal.threshold:.3f} | {state} | {bars} | {slope} |"

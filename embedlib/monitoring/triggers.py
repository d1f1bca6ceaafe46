"""When a series of checks becomes an event, and which events were lost: pure functions of the history.

Hysteresis: a signal has to fire in ``votes`` of the last ``window`` checks of the live release, the
latest included, so that one noisy hour does not retrain. Cool-down: an event of one name is not
raised again before ``cooldown_s``; each attempt in a row that ended with the incumbent kept doubles
it (at most eightfold), since retraining on the same evidence did not help.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from embedlib.fingerprint import digest
from embedlib.monitoring.history import Check, Event, EventOutcome, Past, Signal

CORPUS_CHANGED = "embedlib.corpus.changed"
QUERIES_DRIFTED = "embedlib.queries.drifted"
RETRIEVAL_DEGRADED = "embedlib.retrieval.degraded"

#: Which event a signal speaks for. A signal that is not named here only warns.
EVENT_OF = {
    "canaries": RETRIEVAL_DEGRADED,
    "labels": RETRIEVAL_DEGRADED,
    "index": RETRIEVAL_DEGRADED,
    "corpus": CORPUS_CHANGED,
    "drift": QUERIES_DRIFTED,
    "vocabulary": QUERIES_DRIFTED,
}
MAX_BACKOFF = 8
#: Signals about a release; the others are about its model, which a refresh keeps.
_OF_RELEASE = ("corpus", "index")


@dataclass(frozen=True)
class MonitorThresholds:
    """What is watched and when it counts; see the ``monitor`` options of the same names."""

    canaries: int = 50
    canary_drop: float = 0.05
    labels: Path | None = None
    labels_min: int = 30
    labels_drop: float = 0.05
    query_log: Path | None = None
    drift_effect: float = 0.05
    vocabulary_rise: float = 0.05
    corpus_share: float = 0.02
    max_age_days: float = 90
    votes: int = 2
    window: int = 3
    cooldown_s: int = 86_400
    grace_s: int = 1800
    run_s: int = 172_800
    attempts: int = 3


class Released(NamedTuple):
    """When a release was published (UTC), and the content digest of its model."""

    at: datetime
    model: str


def new_events(past: Past, limits: MonitorThresholds, *, resource: str, now: datetime) -> list[Event]:
    """Events that the history calls for and that are not raised yet, in the order of ``EVENT_OF``.

    Args:
        past: The history, its last check being the one just made.
        limits: ``votes`` and ``window``, ``cooldown_s`` and ``run_s``.
        resource: ``prefect.resource.id`` of what the events are about.
        now: The time of the check (UTC).
    """
    if not past.checks:
        return []
    latest = past.checks[-1]
    events = []
    for name in dict.fromkeys(EVENT_OF.values()):
        fired = [s for s in latest.signals if EVENT_OF.get(s.name) == name and _holds(s, past.checks, limits)]
        if fired and not _cooling(name, past, limits, now):
            events.append(_event(name, resource, latest, fired, now))
    return events


def due_events(
    past: Past, releases: Sequence[Released], limits: MonitorThresholds, *, now: datetime
) -> list[Event]:
    """Events that were raised and led to nothing, to be emitted again by the reconciling schedule.

    An event is settled when a run that took it up ended (published or kept), or when a release
    followed, whatever led to it: any release for a changed corpus, else one with another model.
    It is due when nobody took it up within ``grace_s`` of its last emission, when its run failed, or
    when its run did not end within ``run_s``; it is given up after ``attempts`` emissions.

    Returns:
        Each due event with ``attempt`` one higher and ``at`` set to ``now``.
    """
    last: dict[str, Event] = {}
    first: dict[str, Event] = {}
    for event in past.events:
        first.setdefault(event.id, event)
        last[event.id] = event
    due = []
    for event in last.values():
        if event.attempt >= limits.attempts or any(_settles(r, first[event.id]) for r in releases):
            continue
        if _unanswered(event, past.outcomes, limits, now):
            due.append(event.model_copy(update={"attempt": event.attempt + 1, "at": now}))
    return due


def _holds(signal: Signal, checks: Sequence[Check], limits: MonitorThresholds) -> bool:
    key = "release" if signal.name in _OF_RELEASE else "model"
    same = [c for c in checks if getattr(c, key) == getattr(checks[-1], key)]
    before = [c.signal(signal.name) for c in same[-limits.window :]]
    return signal.fired and sum(s is not None and s.fired for s in before) >= limits.votes


def _cooling(name: str, past: Past, limits: MonitorThresholds, now: datetime) -> bool:
    earlier = {e.id: e for e in past.events if e.name == name}
    if not earlier:
        return False
    last = max(earlier.values(), key=lambda e: e.at)
    answers = [o for o in past.outcomes if o.event_id == last.id]
    if answers and answers[-1].state == "started" and now - answers[-1].at < timedelta(seconds=limits.run_s):
        return True
    pause = timedelta(seconds=limits.cooldown_s) * _backoff(list(earlier), past.outcomes)
    return now - last.at < pause


def _backoff(event_ids: Sequence[str], outcomes: Sequence[EventOutcome]) -> int:
    """2 to the number of latest events in a row whose run kept the incumbent, at most 8."""
    factor = 1
    for event_id in reversed(event_ids):
        states = [o.state for o in outcomes if o.event_id == event_id]
        if not states or states[-1] != "kept":
            break
        factor = min(2 * factor, MAX_BACKOFF)
    return factor


def _settles(release: Released, event: Event) -> bool:
    return release.at >= event.at and (event.name == CORPUS_CHANGED or release.model != event.model)


def _unanswered(
    event: Event, outcomes: Sequence[EventOutcome], limits: MonitorThresholds, now: datetime
) -> bool:
    grace, run = timedelta(seconds=limits.grace_s), timedelta(seconds=limits.run_s)
    answers = [o for o in outcomes if o.event_id == event.id]
    if not answers:
        return now - event.at >= grace
    latest = answers[-1]
    if latest.at < event.at:  # emitted again since
        return latest.state not in ("published", "kept") and now - event.at >= grace
    if latest.state == "failed":
        return now - latest.at >= grace
    return latest.state == "started" and now - latest.at >= run


def _event(name: str, resource: str, check: Check, fired: Sequence[Signal], now: datetime) -> Event:
    identity = digest({"name": name, "resource": resource, "release": check.release, "at": now.isoformat()})
    evidence = {s.name: {"value": s.value, "threshold": s.threshold, **s.evidence} for s in fired}
    return Event(
        at=now,
        id=identity,
        name=name,
        resource=resource,
        release=check.release,
        model=check.model,
        evidence=evidence,
    )

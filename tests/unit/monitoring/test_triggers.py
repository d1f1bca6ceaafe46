"""Hysteresis, cool-down, and the search for lost events: all on histories written by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from embedlib.monitoring.history import Check, Event, EventOutcome, Signal, past_of
from embedlib.monitoring.triggers import (
    CORPUS_CHANGED,
    EVENT_OF,
    QUERIES_DRIFTED,
    RETRIEVAL_DEGRADED,
    MonitorThresholds,
    Released,
    due_events,
    new_events,
)

T0 = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
DEFAULT = MonitorThresholds()


def check(hour: float, fired: str = "", *, release: int = 1, model: str = "m1") -> Check:
    """A check with every signal, of which ``fired`` (space-separated) fire."""
    signals = [
        Signal(name=n, value=0.1, threshold=0.2, fired=n in fired.split(), evidence={"lost": ["q"]})
        for n in EVENT_OF
    ]
    return Check(at=T0 + hour * HOUR, release=release, model=model, signals=signals)


def event(hour: float, name: str = RETRIEVAL_DEGRADED, *, attempt: int = 1, id: str = "e") -> Event:
    return Event(at=T0 + hour * HOUR, id=id, name=name, resource="r", release=1, model="m1", attempt=attempt)


def outcome(hour: float, state: str, id: str = "e") -> EventOutcome:
    return EventOutcome(at=T0 + hour * HOUR, event_id=id, state=state)


def raised(records, votes: MonitorThresholds = DEFAULT) -> list[str]:
    past = past_of(records)
    return [e.name for e in new_events(past, votes, resource="r", now=past.checks[-1].at)]


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        ([True], []),  # one noisy hour
        ([True, False], []),  # and it is over
        ([True, False, False, True], []),  # two noisy hours, far apart
        ([True, True], [RETRIEVAL_DEGRADED]),
        ([True, False, True], [RETRIEVAL_DEGRADED]),
        ([True, True, False], []),  # the latest check must speak for it
    ],
)
def test_two_of_the_last_three_checks_make_an_event(series, expected):
    assert raised([check(h, "canaries" if fired else "") for h, fired in enumerate(series)]) == expected


def test_the_votes_wanted_are_counted():
    series = [check(h, "canaries") for h in range(4)]
    assert raised(series, MonitorThresholds(votes=4, window=5)) == [RETRIEVAL_DEGRADED]
    assert raised(series, MonitorThresholds(votes=5, window=5)) == []


def test_each_signal_speaks_for_its_event_and_carries_its_evidence():
    past = past_of([check(h, "corpus vocabulary drift") for h in range(2)])
    events = new_events(past, MonitorThresholds(), resource="embedlib.workspace.w", now=T0 + HOUR)
    assert [e.name for e in events] == [CORPUS_CHANGED, QUERIES_DRIFTED]
    assert set(events[1].evidence) == {"vocabulary", "drift"}
    assert events[1].evidence["drift"] == {"value": 0.1, "threshold": 0.2, "lost": ["q"]}
    payload = events[0].payload()
    assert payload["event"] == CORPUS_CHANGED
    assert payload["resource"] == "embedlib.workspace.w"
    assert payload["id"] == events[0].id != events[1].id


def test_votes_on_another_model_do_not_count_but_a_refresh_keeps_those_on_its_model():
    assert raised([check(0, "canaries", model="m0"), check(1, "canaries", release=2)]) == []
    assert raised([check(0, "canaries"), check(1, "canaries", release=2)]) == [RETRIEVAL_DEGRADED]


def test_votes_on_another_releases_corpus_do_not_count():
    assert raised([check(0, "corpus"), check(1, "corpus", release=2)]) == []


def test_a_release_s_age_alone_is_no_event():
    old = Signal(name="age", value=100, threshold=90, fired=True)
    checks = [Check(at=T0 + h * HOUR, release=1, model="m", signals=[old]) for h in range(3)]
    assert raised(checks) == []


def test_cool_down_holds_back_the_same_event_and_no_other():
    checks = [check(h, "canaries drift") for h in range(3)]
    assert raised([*checks, event(1)]) == [QUERIES_DRIFTED]
    late = [check(26 + h, "canaries") for h in range(2)]
    assert raised([*late, event(1)]) == [RETRIEVAL_DEGRADED]


def test_cool_down_doubles_while_retraining_keeps_the_incumbent_and_not_after_a_release():
    checks = [check(30 + h, "canaries") for h in range(2)]
    assert raised([*checks, event(1), outcome(3, "kept")]) == []
    assert raised([*checks, event(1), outcome(3, "published")]) == [RETRIEVAL_DEGRADED]
    late = [check(1 + 49 + h, "canaries") for h in range(2)]
    assert raised([*late, event(1), outcome(3, "kept")]) == [RETRIEVAL_DEGRADED]
    twice = [event(1, id="a"), outcome(2, "kept", "a"), event(3, id="b"), outcome(4, "kept", "b")]
    assert raised([*[check(3 + 95 - h, "canaries") for h in range(2)], *twice]) == []
    assert raised([*[check(3 + 98 - h, "canaries") for h in range(2)], *twice]) == [RETRIEVAL_DEGRADED]


def test_no_second_event_while_a_run_is_at_work_on_the_first():
    checks = [check(30 + h, "canaries") for h in range(2)]
    assert raised([*checks, event(1), outcome(2, "started")]) == []
    late = [check(2 + 49 + h, "canaries") for h in range(2)]
    assert raised([*late, event(1), outcome(2, "started")]) == [RETRIEVAL_DEGRADED]


PATIENCE = MonitorThresholds(grace_s=3600, run_s=86_400, attempts=3)


@pytest.mark.parametrize(
    ("records", "hour", "due"),
    [
        ([event(0)], 0.5, False),  # a worker may still pick it up
        ([event(0)], 1, True),  # lost: the server was down
        ([event(0), outcome(0.1, "started")], 5, False),
        ([event(0), outcome(0.1, "started")], 24.1, True),  # its run died without a word
        ([event(0), outcome(0.1, "started"), outcome(3, "failed")], 3.5, False),
        ([event(0), outcome(0.1, "started"), outcome(3, "failed")], 4, True),
        ([event(0), outcome(0.1, "started"), outcome(3, "kept")], 99, False),
        ([event(0), outcome(0.1, "started"), outcome(3, "published")], 99, False),
        ([event(0), event(2, attempt=2)], 2.5, False),  # emitted again just now
        ([event(0), event(2, attempt=2)], 3, True),
        ([event(0), event(2, attempt=2), event(4, attempt=3)], 99, False),  # given up
        ([event(0), outcome(1, "failed"), event(2, attempt=2)], 2.5, False),
        ([event(0), outcome(1, "failed"), event(2, attempt=2)], 3, True),
        ([event(0), outcome(1, "kept"), event(2, attempt=2)], 9, False),  # late answer to the first
    ],
)
def test_an_event_is_due_again_when_nothing_came_of_it(records, hour, due):
    found = due_events(past_of(records), [], PATIENCE, now=T0 + hour * HOUR)
    assert bool(found) == due
    if due:
        assert found[0].id == "e"
        assert found[0].attempt == max(r.attempt for r in records if isinstance(r, Event)) + 1
        assert found[0].at == T0 + hour * HOUR


@pytest.mark.parametrize(
    ("name", "release", "due"),
    [
        (RETRIEVAL_DEGRADED, Released(T0 + HOUR, "m2"), False),  # another model followed
        (RETRIEVAL_DEGRADED, Released(T0 + HOUR, "m1"), True),  # a refresh does not mend the model
        (RETRIEVAL_DEGRADED, Released(T0 - HOUR, "m0"), True),  # it was there before
        (CORPUS_CHANGED, Released(T0 + HOUR, "m1"), False),  # a refresh is what was wanted
    ],
)
def test_a_release_that_followed_settles_what_it_mends(name, release, due):
    past = past_of([event(0, name)])
    assert bool(due_events(past, [release], PATIENCE, now=T0 + 5 * HOUR)) == due


def test_reconciling_is_idempotent():
    past = past_of([event(0)])
    first = due_events(past, [], PATIENCE, now=T0 + 2 * HOUR)
    past.events.extend(first)
    assert due_events(past, [], PATIENCE, now=T0 + 2 * HOUR) == []

"""The history: what was written comes back, whatever a crash left behind."""

from __future__ import annotations

import multiprocessing
from datetime import UTC, datetime, timedelta

import pytest

from embedlib.monitoring.history import Check, Event, EventOutcome, History, Signal

T0 = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def check(hour: int, **signals: bool) -> Check:
    found = [Signal(name=n, value=0.5, threshold=0.4, fired=f, evidence={"n": 1}) for n, f in signals.items()]
    return Check(at=T0 + hour * HOUR, release=1, model="m", signals=found, figures={"canaries": 0.5})


def event(hour: int) -> Event:
    return Event(at=T0 + hour * HOUR, id=f"e{hour}", name="x", resource="r", release=1, model="m")


def test_records_come_back_parted_by_kind_and_in_time_order(tmp_path):
    history = History(tmp_path)
    written = [check(2, canaries=True), event(1), EventOutcome(at=T0, event_id="e1", state="kept"), check(0)]
    history.append(*written)
    past = history.read()
    assert past.checks == [written[3], written[0]]
    assert past.events == [written[1]]
    assert past.outcomes == [written[2]]


def test_since_leaves_out_what_is_older(tmp_path):
    history = History(tmp_path)
    history.append(check(0), check(1), check(2))
    assert [c.at for c in history.read(since=T0 + HOUR).checks] == [T0 + HOUR, T0 + 2 * HOUR]


def test_no_history_is_an_empty_one(tmp_path):
    assert History(tmp_path).read() == ([], [], [])


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_line_cut_short_by_a_crash_costs_that_line_only(tmp_path, caplog, cut):
    history = History(tmp_path)
    history.append(check(0), check(1))
    whole = history.path.read_bytes()
    history.path.write_bytes(whole[:-cut])
    history.append(check(2))
    assert [c.at for c in history.read().checks][-1] == T0 + 2 * HOUR
    assert len(history.read().checks) == (3 if cut == 1 else 2)
    assert ("unreadable" in caplog.text) == (cut > 1)


def test_a_record_of_an_unknown_schema_version_is_not_read_as_if_it_were_known(tmp_path, caplog):
    history = History(tmp_path)
    history.append(check(0))
    history.path.write_text(history.path.read_text().replace('"schema_version":1', '"schema_version":2'))
    assert history.read().checks == []
    assert "1 unreadable" in caplog.text


def test_pruning_drops_old_checks_and_keeps_the_audit_trail(tmp_path):
    history = History(tmp_path)
    history.append(check(0), event(0), EventOutcome(at=T0, event_id="e0", state="published"), check(5))
    assert history.prune(T0 + HOUR) == 1
    past = history.read()
    assert [len(part) for part in past] == [1, 1, 1]
    assert past.checks[0].at == T0 + 5 * HOUR
    assert history.prune(T0 + HOUR) == 0


def _append_many(folder: str, start: int) -> None:
    history = History(folder)
    for hour in range(start, start + 25):
        history.append(check(hour, canaries=True))


def test_two_writers_lose_nothing(tmp_path):
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_append_many, args=(str(tmp_path), start)) for start in (0, 100)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [w.exitcode for w in writers] == [0, 0]
    assert len(History(tmp_path).read().checks) == 50

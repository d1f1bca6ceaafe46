"""Progress lines: how often, and what rate they tell."""

from __future__ import annotations

import logging

import pytest

from embedlib import progress


def test_the_rate_of_resumed_work_counts_from_where_it_began(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = iter([0.0, 5.0, 10.0, 30.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    report = progress.LogProgress(every_s=10.0)
    with caplog.at_level(logging.INFO, logger="embedlib.progress"):
        for done in (170, 171, 175, 185):
            report(done, 310, "steps")
    assert [r.getMessage() for r in caplog.records] == [
        "steps: 175 of 310 (0.5/s, 270 s left)",
        "steps: 185 of 310 (0.5/s, 250 s left)",
    ]


def test_no_time_left_is_told_before_anything_was_done(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = iter([0.0, 20.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    report = progress.LogProgress()
    with caplog.at_level(logging.INFO, logger="embedlib.progress"):
        report(170, 310, "steps")
        report(170, 310, "steps")
    assert caplog.messages == ["steps: 170 of 310 (0/s)"]

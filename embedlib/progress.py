"""Progress of long work, told to whoever listens."""

from __future__ import annotations

import logging
import time
from typing import Protocol

logger = logging.getLogger(__name__)


class Progress(Protocol):
    """Called with how much is done; ``total`` is None while it is unknown."""

    def __call__(self, done: int, total: int | None, what: str) -> None:
        """Tell that ``done`` of ``total`` units of ``what`` are done."""


class LogProgress:
    """Logs at most one line every ``every_s`` seconds, with rate and time left.

    Both count from the first call, so that work which was resumed does not look fast.
    """

    def __init__(self, every_s: float = 10.0) -> None:
        self.every_s = every_s
        self._first: dict[str, tuple[float, int]] = {}
        self._last: dict[str, float] = {}

    def __call__(self, done: int, total: int | None, what: str) -> None:
        """Log it, if the last line is old enough."""
        now = time.monotonic()
        start, before = self._first.setdefault(what, (now, done))
        if now - self._last.get(what, start) < self.every_s:
            return
        self._last[what] = now
        rate = (done - before) / max(now - start, 1e-9)
        left = f", {(total - done) / rate:.0f} s left" if total and rate else ""
        logger.info("%s: %d%s (%.3g/s%s)", what, done, f" of {total}" if total else "", rate, left)


class Curve(Protocol):
    """Called with each point of a curve as it comes."""

    def __call__(self, name: str, step: int, value: float) -> None:
        """Tell that the figure ``name`` was ``value`` after ``step`` steps."""


def no_curve(name: str, step: int, value: float) -> None:
    """A curve that nobody draws."""


def silent(done: int, total: int | None, what: str) -> None:
    """Progress that tells nobody."""


class Watcher(Protocol):
    """Whoever sees the stages of a run, such as a terminal."""

    def began(self, stage: str) -> None:
        """Tell that a stage is at work."""

    def ended(self, stage: str, how: str) -> None:
        """Tell that it is no longer: ``reused``, ``done`` or ``failed``."""

    def progress(self, stage: str, done: int, total: int | None, what: str) -> None:
        """Tell how far it is."""

    def point(self, stage: str, name: str, step: int, value: float) -> None:
        """Tell a point of one of its curves."""


#: The watchers of this process.
watching: list[Watcher] = []


def began(stage: str) -> None:
    """Tell every watcher that a stage is at work."""
    for watcher in watching:
        watcher.began(stage)


def ended(stage: str, how: str) -> None:
    """Tell every watcher that a stage is no longer at work."""
    for watcher in watching:
        watcher.ended(stage, how)


def watched(stage: str, progress: Progress) -> Progress:
    """The same progress, told to every watcher too."""

    def tell(done: int, total: int | None, what: str) -> None:
        progress(done, total, what)
        for watcher in watching:
            watcher.progress(stage, done, total, what)

    return tell


def watched_curve(stage: str, curve: Curve) -> Curve:
    """The same curve, told to every watcher too."""

    def tell(name: str, step: int, value: float) -> None:
        curve(name, step, value)
        for watcher in watching:
            watcher.point(stage, name, step, value)

    return tell

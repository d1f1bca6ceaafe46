"""Waiting for a provider: its rate limits, pauses of every thread together, and when to try again."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import tenacity

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def duration_s(text: str) -> float | None:
    """Seconds in a header's duration: ``"2"``, ``"20ms"``, ``"6m0s"``; None if it is neither.

    >>> duration_s("6m0.5s"), duration_s("20ms"), duration_s("7"), duration_s("soon")
    (360.5, 0.02, 7.0, None)
    """
    text = text.strip()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _UNITS_S[unit] for number, unit in parts)


def retry_after_s(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds that a refused request should wait (RFC 9110, 10.2.3; ``retry-after-ms`` of OpenAI).

    Without those headers, the time until the exhausted limit is filled again.
    """
    if "retry-after-ms" in headers and (ms := duration_s(headers["retry-after-ms"])) is not None:
        return ms / 1000
    if "retry-after" in headers:
        value = headers["retry-after"]
        if (seconds := duration_s(value)) is not None:
            return seconds
        try:
            when = parsedate_to_datetime(value)
        except ValueError:
            return None
        when = when if when.tzinfo else when.replace(tzinfo=UTC)  # no zone is named, or -0000
        return max(0.0, (when - (now or datetime.now(UTC))).total_seconds())
    return exhausted_s(headers)


def exhausted_s(headers: Mapping[str, str]) -> float | None:
    """Seconds until a limit that stands at zero (``x-ratelimit-remaining-*``) is filled again."""
    waits = []
    for what in ("requests", "tokens"):
        remaining = headers.get(f"x-ratelimit-remaining-{what}", "").strip()
        reset = headers.get(f"x-ratelimit-reset-{what}", "")
        if remaining in {"0", "0.0"} and (seconds := duration_s(reset)) is not None:
            waits.append(seconds)
    return max(waits, default=None)


class RateGate:
    """A gate that all threads pass before a request, closed while a provider asks for a pause.

    ``wait`` waits that many seconds, or less when the client is closed.
    """

    def __init__(self, wait: Callable[[float], object], clock: Callable[[], float] = time.monotonic) -> None:
        self._wait, self._clock = wait, clock
        self._lock = threading.Lock()
        self._opens_at = 0.0

    def close_for(self, seconds: float) -> None:
        """Let nobody through for ``seconds``; a longer pause already asked for stays."""
        with self._lock:
            self._opens_at = max(self._opens_at, self._clock() + seconds)

    def enter(self) -> None:
        """Return once the gate is open."""
        while (left := self._left()) > 0:
            self._wait(left)

    def _left(self) -> float:
        with self._lock:
            return self._opens_at - self._clock()


class Transient(Exception):
    """A failure that a later attempt may not meet.

    ``wait_s`` is how long the provider asked to wait.
    """

    def __init__(self, problem: str, wait_s: float | None = None, *, rate_limit: bool = False) -> None:
        self.problem, self.wait_s, self.rate_limit = problem, wait_s, rate_limit
        super().__init__(problem)


class StopRetrying:
    """Stops one request's attempts: after so many faults, or after so long under a rate limit.

    A rate limit is no fault: with many requests in flight some are refused many times over.

    Args:
        retries: Faults that are forgiven.
        max_wait_s: Longest wait at a time; ten times as long is spent under a rate limit in all.
    """

    def __init__(self, retries: int, max_wait_s: float) -> None:
        self.retries, self.patience_s, self.faults = retries, 10 * max_wait_s, 0

    def __call__(self, state: tenacity.RetryCallState) -> bool:
        """Whether to stop (tenacity's ``stop``)."""
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, Transient) and error.rate_limit:
            return (state.seconds_since_start or 0.0) > self.patience_s
        self.faults += 1
        return self.faults > self.retries


class Backoff:
    """How long to wait before the next attempt: what the provider asks for, else ever longer; with jitter.

    Args:
        first_s: First wait, and most jitter, in seconds.
        most_s: Longest wait.
    """

    def __init__(self, first_s: float, most_s: float) -> None:
        self._growing = tenacity.wait_exponential(multiplier=first_s, max=most_s)
        self._jitter = tenacity.wait_random(0, first_s)

    def __call__(self, state: tenacity.RetryCallState) -> float:
        """Seconds to wait (tenacity's ``wait``)."""
        error = state.outcome.exception() if state.outcome else None
        asked = error.wait_s if isinstance(error, Transient) else None
        return (self._growing(state) if asked is None else asked) + self._jitter(state)

"""Providers' rate limits: reading their headers, and pausing every thread together."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

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

    Args:
        wait: Waits that many seconds; returns early when the client is closed.
        clock: Monotonic seconds.
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

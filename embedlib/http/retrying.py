"""When a request is tried again, how soon, and when it is given up."""

from __future__ import annotations

import tenacity


class Transient(Exception):
    """A failure that a later attempt may not meet.

    Args:
        problem: What happened.
        wait_s: Seconds that the provider asked to wait.
        rate_limit: Whether it was a rate limit.
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

"""How a provider is asked: settings, one request, and what can go wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from embedlib.errors import ConfigError, ProviderError
from embedlib.http.usage import Price, TokenUsage


class RequestRejected(ProviderError):
    """The provider refused the request itself (4xx); asking again would be refused again."""

    status: int = 0


class Malformed(Exception):
    """An answer that is not what was asked for; raised by a request's ``parse``, retried."""

    def __init__(self, problem: str, usage: TokenUsage | None = None) -> None:
        self.problem, self.usage = problem, usage or TokenUsage()
        super().__init__(problem)


@dataclass(frozen=True)
class ApiSettings:
    """Where and how a provider is asked.

    Args:
        base_url: Without a trailing slash; holds no key and no password.
        key_env: Environment variable that holds the key; None when the server needs none.
        max_concurrency: Maximum requests in flight.
        timeout_s: Seconds a request may take in all, slow answers included.
        retries: Further attempts after a failure that may pass; rate limits do not count.
        backoff_s: First wait between attempts; doubles each time, with as much jitter.
        max_wait_s: Longest wait that a provider may ask for; a request is given up after ten
            times as long under a rate limit.
        token_budget: Ceiling on tokens over all runs with the same ledger.
        money_budget: Ceiling in US dollars, likewise; needs ``price``.
        price: US dollars per million tokens.
    """

    base_url: str
    key_env: str | None = None
    max_concurrency: int = 8
    timeout_s: float = 60.0
    retries: int = 6
    backoff_s: float = 1.0
    max_wait_s: float = 120.0
    token_budget: int | None = None
    money_budget: float | None = None
    price: Price | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConfigError([f"base_url {self.base_url!r}: expected http(s)://host/…"])
        if parts.username or parts.password or parts.query:
            raise ConfigError(
                ["base_url holds a user, a password or a query"],
                remedy="put the key into an environment variable and name it in key_env",
            )


@dataclass(frozen=True)
class ApiRequest:
    """One POST and what is to be made of its answer.

    Args:
        path: Below the base URL, for example ``/embeddings``.
        body: The JSON body.
        parse: Turns the JSON answer into ``len(keys)`` JSON values and what they cost; raises
            ``Malformed`` when the answer is not what was asked for.
        estimate: What the request will about cost, for the budget.
        keys: Keys of the values in the ledger; one (a digest of the request) unless given.
    """

    path: str
    body: dict[str, Any]
    parse: Callable[[Any], tuple[list[Any], TokenUsage]]
    estimate: TokenUsage = field(default_factory=TokenUsage)
    keys: Sequence[str] = ()


@dataclass
class RequestCounts:
    """What the client went through, for reports."""

    from_ledger: int = 0
    retried: int = 0
    rate_limited: int = 0
    malformed: int = 0

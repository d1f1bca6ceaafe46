"""What remote calls cost, and the budget that they may not exceed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from embedlib.errors import BudgetExhausted, ConfigError

MILLION = 1_000_000


@dataclass(frozen=True)
class TokenUsage:
    """Requests answered and tokens billed."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: TokenUsage) -> TokenUsage:
        return TokenUsage(
            self.requests + other.requests,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
        )

    @property
    def tokens(self) -> int:
        """Tokens in and out."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True)
class Price:
    """US dollars per million tokens."""

    input_per_million: float = 0.0
    output_per_million: float = 0.0

    def cost(self, usage: TokenUsage) -> float:
        """US dollars for ``usage``."""
        dollars = usage.input_tokens * self.input_per_million + usage.output_tokens * self.output_per_million
        return dollars / MILLION


class Budget:
    """A ceiling on tokens and dollars that concurrent requests cannot overshoot.

    Every request reserves an estimate before it is sent and settles what it really cost
    afterwards. A request that does not fit waits for those in flight to settle, and is refused
    only when nothing in flight can free room.

    Args:
        max_tokens: Ceiling on tokens in and out, over all runs with the same ledger; None for none.
        max_cost: Ceiling in US dollars, likewise.
        price: What tokens cost; needed when there is a ``max_cost``.
        spent: What earlier runs have used.
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        max_cost: float | None = None,
        price: Price | None = None,
        spent: TokenUsage | None = None,
    ) -> None:
        if max_cost is not None and price is None:
            raise ConfigError(
                ["a budget in money needs the price per million tokens"],
                remedy="set price_input_per_million (and price_output_per_million), or use a token budget",
            )
        self.max_tokens, self.max_cost, self.price = max_tokens, max_cost, price or Price()
        self._spent = spent or TokenUsage()
        self._reserved: list[TokenUsage] = []
        self._changed = threading.Condition()

    @property
    def spent(self) -> TokenUsage:
        """What has been used so far, earlier runs included."""
        with self._changed:
            return self._spent

    def add(self, usage: TokenUsage) -> None:
        """Count what an answered request cost."""
        with self._changed:
            self._spent += usage

    @contextmanager
    def reserve(self, estimate: TokenUsage) -> Iterator[None]:
        """Hold room for a request while it is made.

        Raises:
            BudgetExhausted: ``estimate`` does not fit into what is left.
        """
        with self._changed:
            while not self._fits(estimate):
                if not self._reserved:
                    raise self._exhausted(estimate)
                self._changed.wait()
            self._reserved.append(estimate)
        try:
            yield
        finally:
            with self._changed:
                self._reserved.remove(estimate)
                self._changed.notify_all()

    def _fits(self, estimate: TokenUsage) -> bool:
        total = sum(self._reserved, self._spent + estimate)
        tokens_fit = self.max_tokens is None or total.tokens <= self.max_tokens
        return tokens_fit and (self.max_cost is None or self.price.cost(total) <= self.max_cost)

    def _exhausted(self, estimate: TokenUsage) -> BudgetExhausted:
        limits = []
        if self.max_tokens is not None:
            limits.append(f"{self.max_tokens} tokens")
        if self.max_cost is not None:
            limits.append(f"${self.max_cost:.4f}")
        return BudgetExhausted(
            "the budget for remote calls is spent; every answer bought is kept",
            expected="at most " + " and ".join(limits),
            found=f"{self._spent.tokens} tokens (${self.price.cost(self._spent):.4f}) used, "
            f"about {estimate.tokens} more needed for the next request",
            remedy="raise token_budget or money_budget and run again: nothing is asked twice",
        )

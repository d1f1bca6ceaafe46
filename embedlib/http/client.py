"""One client for every provider: bounded concurrency, retries, rate limits, budget, ledger."""

from __future__ import annotations

import json
import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import httpx
import tenacity

from embedlib.errors import ConfigError, ProviderError
from embedlib.fingerprint import digest
from embedlib.http.key import ApiKey
from embedlib.http.ledger import Ledger
from embedlib.http.limits import Backoff, RateGate, StopRetrying, Transient, exhausted_s, retry_after_s
from embedlib.http.request import ApiRequest, ApiSettings, Malformed, RequestCounts, RequestRejected
from embedlib.http.usage import Budget, TokenUsage
from embedlib.loopback import is_loopback

logger = logging.getLogger(__name__)

E = TypeVar("E", bound=ProviderError)
T = TypeVar("T")
R = TypeVar("R")

#: Statuses that a later attempt may not meet again.
TRANSIENT = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
#: Error codes of 429 answers that waiting does not mend.
_HOPELESS = ("insufficient_quota", "billing_hard_limit_reached")
_EXCERPT = 300
_READ = 10_000  # characters of a refusal that are looked at


class ApiClient:
    """Asks one provider, from any number of threads.

    Args:
        settings: Where and how.
        ledger: Keeps every answer; what it holds is not asked again, and its past spending
            counts towards the budget.

    Raises:
        ConfigError: The key's variable is not set, or a money budget has no price.
    """

    def __init__(self, settings: ApiSettings, *, ledger: Ledger | None = None) -> None:
        self.settings, self.ledger = settings, ledger
        self.key = ApiKey(settings.key_env)
        spent = ledger.usage if ledger is not None else TokenUsage()
        self.budget = Budget(settings.token_budget, settings.money_budget, settings.price, spent)
        self.counts = RequestCounts()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(settings.max_concurrency)
        self._gate = RateGate(self._pause)
        self._http = _opened(self.key, settings)
        self._disconnect = weakref.finalize(self, self._http.close)
        url = settings.base_url
        if url.startswith("http://") and settings.key_env and not is_loopback(url):
            logger.warning("%s: the key travels unencrypted; use https", url)

    def __repr__(self) -> str:
        return f"ApiClient({self.settings.base_url!r}, {self.key!r})"

    def __enter__(self) -> ApiClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Wake sleeping threads, close connections and the ledger."""
        self._stop.set()
        self._disconnect()
        if self.ledger is not None:
            self.ledger.close()

    @property
    def cost(self) -> float:
        """US dollars spent so far, earlier runs with the same ledger included."""
        return self.budget.price.cost(self.budget.spent)

    def key_of(self, path: str, body: Any) -> str:
        """Ledger key of a question to this provider."""
        return digest([self.settings.base_url, path, body])

    def known(self, key: str) -> bool:
        """Whether the ledger holds the answer already."""
        return self.ledger is not None and key in self.ledger

    def send(self, request: ApiRequest) -> list[Any]:
        """Ask once, or look the answer up.

        Returns:
            The values that ``request.parse`` made of the answer, one a key.

        Raises:
            BudgetExhausted: The request does not fit into the budget; nothing was sent.
            RequestRejected: The provider refused the request.
            ProviderError: Every attempt failed.
        """
        keys = list(request.keys) or [self.key_of(request.path, request.body)]
        if self.ledger is not None and all(key in self.ledger for key in keys):
            self._count("from_ledger")
            return [self.ledger.get(key) for key in keys]
        with self._slots, self.budget.reserve(request.estimate):
            return self._attempts(request, keys)

    def recall(self, key: str) -> Any:
        """The ledger's answer to a question; ``KeyError`` when it holds none."""
        if self.ledger is None:
            raise KeyError(key)
        self._count("from_ledger")
        return self.ledger.get(key)

    def map(self, ask: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Call ``ask`` (which calls ``send``) for many items side by side, in order.

        Only a window of twice ``max_concurrency`` items is drawn ahead. When one fails, what came
        before it is yielded first, what is in flight is kept in the ledger, and its error is raised.
        """
        window = 2 * self.settings.max_concurrency
        pending: deque[Future[R]] = deque()
        with ThreadPoolExecutor(self.settings.max_concurrency, thread_name_prefix="api") as pool:
            try:
                for item in items:
                    pending.append(pool.submit(ask, item))
                    if len(pending) >= window:
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
            finally:
                for future in pending:
                    future.cancel()

    def _attempts(self, request: ApiRequest, keys: list[str]) -> list[Any]:
        retrying = tenacity.Retrying(
            stop=StopRetrying(self.settings.retries, self.settings.max_wait_s),
            wait=Backoff(self.settings.backoff_s, self.settings.max_wait_s),
            retry=tenacity.retry_if_exception_type(Transient),
            before_sleep=self._note_retry,
            sleep=self._pause,
            reraise=True,
        )
        try:
            values, usage = retrying(self._attempt, request)
        except Transient as error:
            raise self._error(
                ProviderError,
                f"no usable answer after {retrying.statistics['attempt_number']} attempts",
                request,
                found=error.problem,
                remedy="run again later: answers bought so far are kept and not asked again",
            ) from None
        if len(values) != len(keys):
            raise ValueError(f"parse made {len(values)} values for {len(keys)} keys")
        self._settle(list(zip(keys, values, strict=True)), usage)
        return values

    def _attempt(self, request: ApiRequest) -> tuple[list[Any], TokenUsage]:
        self._gate.enter()
        status, headers, content = self._exchange(request)
        if status != httpx.codes.OK:
            raise self._refusal(status, headers, content, request)
        if (pause := exhausted_s(headers)) is not None and pause <= self.settings.max_wait_s:
            self._gate.close_for(pause)
        try:
            return request.parse(json.loads(content))
        except (Malformed, ValueError) as error:
            if isinstance(error, Malformed) and error.usage.requests:
                self._settle([], error.usage)
            self._count("malformed")
            said = f"; it says: {_message(content)}" if b'"error"' in content[:_READ] else ""
            raise Transient(f"malformed answer: {self.key.redact(f'{error}{said}')[:_EXCERPT]}") from None

    def _exchange(self, request: ApiRequest) -> tuple[int, httpx.Headers, bytes]:
        """One POST whose whole answer, however slowly it trickles, arrives within the time-out."""
        deadline = time.monotonic() + self.settings.timeout_s
        url = self.settings.base_url.rstrip("/") + request.path
        chunks: list[bytes] = []
        try:
            with self._http.stream("POST", url, json=request.body) as response:
                for chunk in response.iter_bytes():
                    chunks.append(chunk)
                    if time.monotonic() > deadline:
                        raise Transient(f"no whole answer within {self.settings.timeout_s:g} s")
            return response.status_code, response.headers, b"".join(chunks)
        except httpx.TimeoutException:
            raise Transient(f"no answer within {self.settings.timeout_s:g} s") from None
        except (httpx.TransportError, httpx.DecodingError) as error:
            problem = self.key.redact(str(error)) or "connection lost"
            raise Transient(f"{type(error).__name__}: {problem}") from None

    def _refusal(self, status: int, headers: httpx.Headers, content: bytes, request: ApiRequest) -> Exception:
        message = self.key.redact(_message(content))[:_EXCERPT]
        if status in TRANSIENT and not (status == 429 and any(code in message for code in _HOPELESS)):
            wait_s = retry_after_s(headers)
            if status == httpx.codes.TOO_MANY_REQUESTS:
                self._count("rate_limited")
            if wait_s is not None and wait_s > self.settings.max_wait_s:
                return self._error(
                    ProviderError,
                    f"the provider asks to wait {wait_s:.0f} s",
                    request,
                    found=f"{status} {message}",
                    expected=f"at most max_wait_s = {self.settings.max_wait_s:g} s",
                    remedy="run again later, or raise max_wait_s",
                )
            if wait_s is not None:
                self._gate.close_for(wait_s)
            limited = status == httpx.codes.TOO_MANY_REQUESTS
            return Transient(f"{status} {message}", wait_s, rate_limit=limited)
        error = self._error(
            RequestRejected,
            "the provider refused the request",
            request,
            found=f"{status} {message}",
            remedy=self._remedy(status),
        )
        error.status = status
        return error

    def _remedy(self, status: int) -> str:
        if status in {401, 403}:
            return f"check the key in environment variable {self.key.env}"
        if status in {404, 405} or 300 <= status < 400:
            return "check base_url and the model's name"
        if status == 429:
            return "the account has no credit left; answers bought so far are kept"
        return "check the model's name and the request's options"

    def _error(self, kind: type[E], what: str, request: ApiRequest, **aspects: str) -> E:
        return kind(what, where=f"POST {self.settings.base_url}{request.path}", **aspects)

    def _settle(self, entries: list[tuple[str, Any]], usage: TokenUsage) -> None:
        self.budget.add(usage)
        if self.ledger is not None:
            self.ledger.put(entries, usage)

    def _note_retry(self, state: tenacity.RetryCallState) -> None:
        self._count("retried")
        error = state.outcome.exception() if state.outcome else None
        seconds = state.next_action.sleep if state.next_action else 0.0
        logger.info("attempt %d failed (%s); next in %.1f s", state.attempt_number, error, seconds)

    def _count(self, name: str) -> None:
        with self._lock:
            setattr(self.counts, name, getattr(self.counts, name) + 1)

    def _pause(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise ProviderError("the client was closed while a request waited")


def _opened(key: ApiKey, settings: ApiSettings) -> httpx.Client:
    limits = httpx.Limits(max_connections=settings.max_concurrency)
    try:
        return httpx.Client(auth=key, timeout=settings.timeout_s, limits=limits)
    except (ImportError, ValueError, OSError, httpx.InvalidURL) as error:
        raise ConfigError(
            [f"the environment names a proxy or certificates that cannot be used: {error}"],
            where=settings.base_url,
            remedy="mend HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, SSL_CERT_FILE; SOCKS needs the package socksio",
        ) from error


def _message(content: bytes) -> str:
    """The provider's own words, which OpenAI, Cohere and Voyage put under different names."""
    text = content[:_READ].decode("utf-8", errors="replace")
    try:
        data = json.loads(text)
    except ValueError:
        return text
    if isinstance(data, dict):
        inner = data.get("error") or data.get("message") or data.get("detail") or data
        if isinstance(inner, dict):
            inner = " ".join(str(inner[k]) for k in ("code", "type", "message") if inner.get(k)) or inner
        return str(inner)
    return text

"""The API client against a real local server: retries, rate limits, concurrency, budget, ledger."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from local_server import Fault, LocalServer

from embedlib.errors import BudgetExhausted, ConfigError, ProviderError
from embedlib.http.client import ApiClient
from embedlib.http.ledger import Ledger
from embedlib.http.request import ApiRequest, ApiSettings, Malformed, RequestRejected
from embedlib.http.usage import Price, TokenUsage


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with LocalServer() as running:
        yield running


def client_of(server: LocalServer, ledger: Path | None = None, **options: Any) -> ApiClient:
    options = {"backoff_s": 0.01, "timeout_s": 5.0, "retries": 3, **options}
    settings = ApiSettings(base_url=f"{server.url}/v1", **options)
    return ApiClient(settings, ledger=Ledger(ledger) if ledger else None)


def first_component(answer: Any) -> tuple[list[Any], TokenUsage]:
    try:
        usage = TokenUsage(1, answer["usage"]["prompt_tokens"])
        return [answer["data"][0]["embedding"][1]], usage
    except (KeyError, TypeError, IndexError):
        raise Malformed("no vector", TokenUsage(1, 7)) from None


def question(text: str, estimate: int = 0) -> ApiRequest:
    """How many a's are there in the text?"""
    body = {"model": "m", "input": [text]}
    return ApiRequest("/embeddings", body, first_component, TokenUsage(1, estimate))


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(status=500), id="server error"),
        pytest.param(Fault(status=503, body=b"<html>gateway</html>"), id="not JSON"),
        pytest.param(Fault(status=429), id="rate limit"),
        pytest.param(Fault(reset=True), id="connection reset"),
        pytest.param(Fault(truncate=True), id="answer cut short"),
        pytest.param(Fault(change=lambda _: b'{"data": [{"emb'), id="malformed JSON"),
        pytest.param(Fault(change=lambda _: {"surprise": True}), id="another shape"),
        pytest.param(Fault(change=lambda _: b""), id="empty body"),
    ],
)
def test_passing_faults_are_retried(server: LocalServer, fault: Fault) -> None:
    server.faults = [fault, fault]
    with client_of(server) as client:
        assert client.send(question("banana")) == [3.0]
    assert len(server.seen) == 3
    assert client.counts.retried == 2


def test_gives_up_after_the_retries_and_names_the_last_problem(server: LocalServer) -> None:
    server.faults = [Fault(status=500, body={"error": {"message": f"outage {i}"}}) for i in range(9)]
    with client_of(server, retries=2) as client, pytest.raises(ProviderError) as caught:
        client.send(question("a"))
    assert len(server.seen) == 3
    assert "500 outage 2" in caught.value.found
    assert f"{server.url}/v1/embeddings" in caught.value.where


def test_time_out_is_retried(server: LocalServer) -> None:
    server.faults = [Fault(delay_s=60.0)]
    with client_of(server, timeout_s=1.0) as client:
        started = time.monotonic()
        assert client.send(question("a")) == [1.0]
    assert time.monotonic() - started < 30


def test_an_answer_that_trickles_in_cannot_outlast_the_time_out(server: LocalServer) -> None:
    server.faults = [Fault(trickle_s=0.1)]
    with (
        client_of(server, timeout_s=0.4, retries=0) as client,
        pytest.raises(ProviderError, match="attempts"),
    ):
        client.send(question("a"))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 302])
def test_refusals_are_not_retried(server: LocalServer, status: int) -> None:
    server.faults = [Fault(status=status, body={"error": {"message": "no such model", "code": "nope"}})]
    with client_of(server) as client, pytest.raises(RequestRejected) as caught:
        client.send(question("a"))
    assert caught.value.status == status
    assert "no such model" in caught.value.found
    assert len(server.seen) == 1


def test_an_account_without_credit_is_not_waited_for(server: LocalServer) -> None:
    server.faults = [
        Fault(status=429, body={"error": {"code": "insufficient_quota", "message": "no credit"}})
    ]
    with client_of(server) as client, pytest.raises(RequestRejected, match="credit"):
        client.send(question("a"))
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Retry-After": "0.4"},
        {"retry-after-ms": "400"},
        {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "400ms"},
    ],
)
def test_a_rate_limit_is_waited_for_as_long_as_the_provider_says(
    server: LocalServer, headers: dict[str, str]
) -> None:
    server.faults = [Fault(status=429, headers=headers)]
    with client_of(server) as client:
        started = time.monotonic()
        client.send(question("a"))
    assert time.monotonic() - started >= 0.4
    assert client.counts.rate_limited == 1


def test_rate_limits_are_waited_out_and_do_not_use_up_the_retries(server: LocalServer) -> None:
    server.faults = [Fault(status=429, headers={"Retry-After": "0.01"})] * 12
    with client_of(server, retries=1, max_wait_s=1.0) as client:
        assert client.send(question("banana")) == [3.0]
        assert client.counts.rate_limited == 12


def test_a_rate_limit_without_end_is_given_up(server: LocalServer) -> None:
    server.faults = [Fault(status=429, body={"error": {"message": "slow down"}})] * 1000
    with (
        client_of(server, max_wait_s=0.05) as client,
        pytest.raises(ProviderError, match="attempts") as caught,
    ):
        client.send(question("a"))
    assert "slow down" in caught.value.found
    assert 5 < len(server.seen) < 100


def test_a_limit_that_will_be_met_closes_the_gate_for_every_thread(server: LocalServer) -> None:
    """A good answer that says "0 requests left" holds back the next one, which would be refused."""
    server.faults = [
        Fault(headers={"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "0.4s"})
    ]
    with client_of(server) as client:
        client.send(question("a"))
        started = time.monotonic()
        client.send(question("b"))
    assert time.monotonic() - started >= 0.35
    assert client.counts.retried == 0


def test_a_wait_beyond_the_limit_is_an_error_at_once(server: LocalServer) -> None:
    server.faults = [Fault(status=429, headers={"Retry-After": "3600"})]
    with client_of(server) as client, pytest.raises(ProviderError, match="3600 s"):
        client.send(question("a"))
    assert len(server.seen) == 1


def test_requests_run_side_by_side_up_to_the_bound_and_come_back_in_order(server: LocalServer) -> None:
    server.delay_s = 0.05
    texts = ["a" * n for n in range(1, 25)]
    with client_of(server, max_concurrency=4) as client:
        answers = list(client.map(lambda text: client.send(question(text))[0], texts))
    assert answers == [float(n) for n in range(1, 25)]
    assert 2 <= server.busiest <= 4


def test_map_draws_only_a_window_ahead(server: LocalServer) -> None:
    drawn: list[int] = []

    def texts() -> Iterator[str]:
        for n in range(1000):
            drawn.append(n)
            yield f"{'a' * (n % 5)} {n}"

    with client_of(server, max_concurrency=3) as client:
        answers = client.map(lambda text: client.send(question(text)), texts())
        next(answers)
        assert len(drawn) <= 2 * 3 + 1
        answers.close()


def test_an_error_in_the_middle_keeps_what_came_before(server: LocalServer, tmp_path: Path) -> None:
    server.max_chars = 9
    texts = ["a", "aa", "aaa", "too long a text", "aaaa"]
    got = []
    with client_of(server, tmp_path, max_concurrency=1) as client, pytest.raises(RequestRejected):
        for answer in client.map(lambda text: client.send(question(text))[0], texts):
            got.append(answer)
    assert got == [1.0, 2.0, 3.0]
    with client_of(server, tmp_path) as again:
        before = len(server.seen)
        assert [again.send(question(t))[0] for t in texts[:3]] == [1.0, 2.0, 3.0]
        assert len(server.seen) == before


def test_the_ledger_answers_a_question_that_was_asked_before(server: LocalServer, tmp_path: Path) -> None:
    with client_of(server, tmp_path) as client:
        client.send(question("banana"))
    with client_of(server, tmp_path) as client:
        assert client.send(question("banana")) == [3.0]
        assert client.send(question("bananas")) == [3.0]
        assert client.counts.from_ledger == 1
        assert client.budget.spent == TokenUsage(2, 2, 0)
    assert len(server.seen) == 2


def test_a_token_budget_stops_before_the_request_that_would_exceed_it(
    server: LocalServer, tmp_path: Path
) -> None:
    """Each question costs two tokens; five fit into ten, and a raised budget asks for the rest only."""
    texts = [f"a {n}" for n in range(8)]
    got = []
    with client_of(server, tmp_path, token_budget=10, max_concurrency=1) as client:
        with pytest.raises(BudgetExhausted, match="kept"):
            for answer in client.map(lambda t: client.send(question(t, estimate=2)), texts):
                got.append(answer)
        assert client.budget.spent.tokens == 10
    assert len(got) == 5
    with client_of(server, tmp_path, token_budget=16) as client:
        assert len(list(client.map(lambda t: client.send(question(t, estimate=2)), texts))) == 8
    assert sorted(seen.body["input"][0] for seen in server.seen) == texts


def test_concurrent_requests_cannot_overshoot_a_budget(server: LocalServer) -> None:
    server.delay_s = 0.05
    with client_of(server, token_budget=20, max_concurrency=8) as client:
        with pytest.raises(BudgetExhausted):
            list(client.map(lambda t: client.send(question(t, estimate=2)), [f"a {n}" for n in range(40)]))
        assert client.budget.spent.tokens == 20
    assert len(server.seen) == 10


def test_a_budget_in_money(server: LocalServer) -> None:
    price = Price(input_per_million=500_000.0)  # half a dollar a token, one dollar a question
    with client_of(server, money_budget=3.0, price=price, max_concurrency=1) as client:
        with pytest.raises(BudgetExhausted):
            list(client.map(lambda t: client.send(question(t, estimate=2)), [f"a {n}" for n in range(9)]))
        assert client.cost == pytest.approx(3.0)


def test_a_budget_in_money_needs_a_price(server: LocalServer) -> None:
    with pytest.raises(ConfigError, match="price"):
        client_of(server, money_budget=1.0)


def test_answers_of_no_use_are_paid_for_all_the_same(server: LocalServer, tmp_path: Path) -> None:
    server.faults = [Fault(change=lambda _: {"surprise": True})]
    with client_of(server, tmp_path) as client:
        client.send(question("a"))
        assert client.budget.spent == TokenUsage(2, 7 + 1, 0)
    reopened = Ledger(tmp_path)
    assert reopened.usage == TokenUsage(2, 8, 0)
    assert len(reopened) == 1
    reopened.close()


def test_closing_wakes_a_thread_that_waits(server: LocalServer) -> None:
    server.faults = [Fault(status=429, headers={"Retry-After": "60"})]
    client = client_of(server)
    errors: list[Exception] = []

    def ask() -> None:
        try:
            client.send(question("a"))
        except ProviderError as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    while not server.seen or client.counts.retried == 0:
        time.sleep(0.01)
    client.close()
    thread.join(timeout=5)
    assert not thread.is_alive()
    assert "closed" in str(errors[0])


@pytest.mark.parametrize(
    "url", ["ftp://host/v1", "host/v1", "https://user:secret@host/v1", "https://host/v1?api-key=secret"]
)
def test_a_base_url_with_a_secret_or_without_a_host_is_refused(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ApiSettings(base_url=url)
    assert "secret" not in str(caught.value)


def test_an_error_inside_a_good_answer_is_told(server: LocalServer) -> None:
    server.faults = [Fault(change=lambda _: {"error": {"message": "the model is being loaded"}})] * 9
    with (
        client_of(server, retries=1) as client,
        pytest.raises(ProviderError, match="the model is being loaded"),
    ):
        client.send(question("banana"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALL_PROXY", "socks4://127.0.0.1:9"),
        ("HTTPS_PROXY", "ftp://me:s3cret@x"),
        ("SSL_CERT_FILE", "/nowhere"),
    ],
)
def test_an_environment_that_no_client_can_use_is_named(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="HTTPS_PROXY") as refused:
        ApiClient(ApiSettings(base_url="https://api.example/v1"))
    assert "s3cret" not in str(refused.value)

"""A provider's key stays out of every log, error, ledger, representation and pickle."""

from __future__ import annotations

import logging
import pickle
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from local_server import Fault, LocalServer

from embedlib.errors import ConfigError, EmbedlibError
from embedlib.http.client import ApiClient
from embedlib.http.key import MASK, ApiKey
from embedlib.http.request import ApiSettings
from embedlib.models.api import load_api_encoder
from embedlib.pairs.llm import Writer, generate_queries

SECRET = "sk-proj-7Hq2vX9wLmPz4RtY8kNbVc3JdFgSaQe1"
ENV = "EMBEDLIB_TEST_KEY"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServer]:
    monkeypatch.setenv(ENV, SECRET)
    with LocalServer() as running:
        yield running


def assert_no_trace(text: str) -> None:
    """Not the key, and no part of it that would help anyone."""
    assert not [SECRET[i : i + 8] for i in range(len(SECRET) - 7) if SECRET[i : i + 8] in text]


def test_the_key_is_sent_and_leaves_no_trace(
    server: LocalServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Faults whose messages quote the key whole, cut and masked; logging at its most talkative."""
    caplog.set_level(logging.DEBUG)
    quotes = [SECRET, f"{SECRET[:-4]}****", f"Bearer {SECRET}", f"{SECRET[:12]}...{SECRET[-12:]}"]
    server.faults = [Fault(status=500, body={"error": {"message": f"bad key: {q}"}}) for q in quotes[:3]]
    settings = ApiSettings(base_url=f"{server.url}/v1", key_env=ENV, backoff_s=0.01, retries=3)
    encoder = load_api_encoder(f"{server.url}/v1#m", settings=settings, ledger=tmp_path / "vectors")
    encoder.encode(["abc"])
    assert server.seen[0].headers["authorization"] == f"Bearer {SECRET}"

    shown = [
        repr(encoder),
        repr(encoder.client),
        repr(settings),
        repr(encoder.client.key),
        str(vars(encoder)),
    ]
    for quote in quotes:
        for status in (401, 400, 500):
            server.faults = [Fault(status=status, body={"error": {"message": f"key {quote}"}})] * 4
            with pytest.raises(EmbedlibError) as caught:
                encoder.encode([f"another {quote[:3]} {status} {len(shown)}"])
            shown += [
                "".join(traceback.format_exception(caught.value)),
                repr(caught.value),
                str(vars(caught.value)),
            ]
            assert MASK in shown[-1]
    list(generate_queries([("d", "text")], settings, Writer("m", 1.0, 512, 8000), ledger=tmp_path / "llm"))
    encoder.close()

    files = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 2
    for text in [*shown, *files, caplog.text, pickle.dumps(caught.value).decode("latin-1")]:
        assert_no_trace(text)


def test_a_key_quoted_at_the_edge_of_an_excerpt_is_masked_before_it_is_cut(server: LocalServer) -> None:
    settings = ApiSettings(base_url=f"{server.url}/v1", key_env=ENV)
    for padding in range(270, 301):
        server.faults = [Fault(status=400, body={"error": {"message": "x" * padding + SECRET}})]
        with ApiClient(settings) as client, pytest.raises(EmbedlibError) as caught:
            client.send(_any_request())
        assert SECRET[:4] not in str(caught.value)


def _any_request():  # type: ignore[no-untyped-def]
    from embedlib.http.request import ApiRequest
    from embedlib.http.usage import TokenUsage

    return ApiRequest("/embeddings", {"input": ["a"]}, lambda answer: ([answer], TokenUsage()))


def test_the_key_is_not_sent_when_none_is_named(server: LocalServer) -> None:
    load_api_encoder(f"{server.url}/v1#m").encode(["abc"])
    assert "authorization" not in server.seen[0].headers


def test_redirects_are_not_followed_with_the_key(server: LocalServer) -> None:
    with LocalServer() as elsewhere:
        server.faults = [Fault(status=307, headers={"Location": f"{elsewhere.url}/v1/embeddings"})]
        settings = ApiSettings(base_url=f"{server.url}/v1", key_env=ENV)
        with ApiClient(settings) as client, pytest.raises(EmbedlibError, match="base_url"):
            client.send(_any_request())
        assert elsewhere.seen == []


@pytest.mark.parametrize("value", ["", "  ", "two words", "newline\ninside", "schlüssel"])
def test_a_key_that_no_header_can_carry_is_refused_without_showing_it(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv(ENV, value)
    with pytest.raises(ConfigError, match=ENV) as caught:
        ApiKey(ENV)
    assert not value.strip() or value not in str(caught.value)


def test_a_missing_key_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        load_api_encoder("openai:text-embedding-3-small")


def test_surrounding_blanks_are_no_part_of_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENV, f" {SECRET}\n")
    assert ApiKey(ENV).redact(f"<{SECRET}>") == f"<{MASK}>"


def test_a_short_key_is_masked_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENV, "abc12")
    assert ApiKey(ENV).redact("key abc12, not abc1") == f"key {MASK}, not abc1"


def test_a_pickled_key_carries_its_variable_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENV, SECRET)
    pickled = pickle.dumps(ApiKey(ENV))
    assert_no_trace(pickled.decode("latin-1"))
    assert pickle.loads(pickled).redact(SECRET) == MASK


def test_a_key_in_the_clear_over_the_network_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(ENV, SECRET)
    ApiClient(ApiSettings(base_url="http://embeddings.example/v1", key_env=ENV)).close()
    assert "unencrypted" in caplog.text
    caplog.clear()
    ApiClient(ApiSettings(base_url="http://127.0.0.1:1/v1", key_env=ENV)).close()
    assert "unencrypted" not in caplog.text


def test_a_key_pasted_in_place_of_its_variables_name_is_not_shown(tmp_path: Path) -> None:
    from embedlib.config.root import load_config

    with pytest.raises(ConfigError, match="key_env") as from_library:
        ApiKey(SECRET)
    file = tmp_path / "embedlib.yaml"
    for option in (
        f"key_env: {SECRET}",
        f"base_url: https://{SECRET}@host/v1",
        f"key_env: {SECRET[3:].replace('-', '')}",
    ):
        file.write_text(f"synthesize:\n  llm:\n    model: m\n    {option}\n")
        with pytest.raises(ConfigError, match=option.split(":")[0]) as from_config:
            load_config(file)
        assert_no_trace(str(from_config.value))
    assert_no_trace(str(from_library.value))

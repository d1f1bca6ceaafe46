"""API encoders against a local server: protocols, order, batches, resume, cost, truncation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from local_server import Fault, LocalServer, letter_counts

from embedlib.errors import BudgetExhausted, DataError, ModelError, ProviderError, UserError
from embedlib.http.request import ApiSettings
from embedlib.http.usage import Price, TokenUsage
from embedlib.models.api import ApiEncoder, load_api_encoder
from embedlib.models.api_protocols import (
    PROTOCOLS,
    batch_texts,
    estimate_tokens,
    is_api_spec,
    pack,
    parse_api_spec,
    unpack,
)
from embedlib.models.opening import open_encoder
from embedlib.models.prompts import Prompts
from embedlib.models.resolve import resolve_model


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with LocalServer() as running:
        yield running


def encoder_of(server: LocalServer, name: str = "m", **options: Any) -> ApiEncoder:
    wanted = {"backoff_s": 0.01, "timeout_s": 5.0, "retries": 2, **options.pop("settings", {})}
    settings = ApiSettings(base_url=f"{server.url}/v1", **wanted)
    return load_api_encoder(f"{server.url}/v1#{name}", settings=settings, **options)


def unit(texts: list[str], dimension: int | None = None) -> np.ndarray:
    raw = np.asarray([letter_counts(t, dimension) for t in texts], dtype=np.float32)
    return raw / np.linalg.norm(raw, axis=1, keepdims=True)


def with_small_batches(encoder: ApiEncoder, items: int, tokens: int = 10_000) -> ApiEncoder:
    protocol = replace(encoder.spec.protocol, max_items=items, max_tokens=tokens)
    encoder.spec = replace(encoder.spec, protocol=protocol)
    return encoder


@pytest.mark.parametrize("shuffle", [False, True])
def test_vectors_come_back_in_the_order_of_the_texts(server: LocalServer, shuffle: bool) -> None:
    server.shuffle = shuffle
    texts = [f"{'abc'[n % 3] * n} {n}" for n in range(1, 40)]
    encoder = with_small_batches(encoder_of(server), items=4)
    np.testing.assert_allclose(encoder.encode(texts), unit(texts), rtol=1e-6)
    assert encoder.encode(texts).dtype == np.float32
    assert encoder.dimension == 27
    assert encoder.usage == TokenUsage(
        10 * 2, 2 * 2 * len(texts), 0
    )  # no ledger: asked again the second time


def test_batches_hold_to_items_and_tokens(server: LocalServer) -> None:
    texts = [
        "a" * 30,
        "b" * 30,
        "c" * 30,
        "d" * 3,
        "e" * 3,
        "f" * 3,
        "g" * 3,
    ]  # 10, 10, 10, 1, 1, 1, 1 tokens
    encoder = with_small_batches(encoder_of(server, settings={"max_concurrency": 1}), items=3, tokens=21)
    encoder.encode(texts)
    assert [[t[0] for t in seen.body["input"]] for seen in server.seen] == [
        ["a", "b"],
        ["c", "d", "e"],
        ["f", "g"],
    ]


def test_a_text_that_comes_twice_is_sent_once(server: LocalServer) -> None:
    vectors = encoder_of(server).encode(["abc", "xyz", "abc"])
    assert server.texts == ["abc", "xyz"]
    np.testing.assert_array_equal(vectors[0], vectors[2])


def test_the_dimension_is_found_on_the_first_call_and_asked_for_when_wanted(server: LocalServer) -> None:
    assert encoder_of(server).dimension == 27
    asked = encoder_of(server, dimension=8)
    assert asked.dimension == 8
    np.testing.assert_allclose(asked.encode(["abc"]), unit(["abc"], 8), rtol=1e-6)
    assert server.seen[-1].body["dimensions"] == 8
    assert encoder_of(server, dimension=8).encode([]).shape == (0, 8)


def test_a_provider_that_ignores_the_wanted_dimension_is_named(server: LocalServer) -> None:
    server.faults = [Fault(change=lambda a: {**a, "data": [{"index": 0, "embedding": [1.0, 2.0]}]})]
    with pytest.raises(ModelError, match="another dimension") as caught:
        encoder_of(server, dimension=8).encode(["abc"])
    assert "2 components" in caught.value.found


def data_of(*items: dict[str, Any]) -> Fault:
    return Fault(change=lambda answer: {**answer, "data": list(items)})


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        (data_of({"index": 0, "embedding": [1.0]}), "1 vectors for 2 texts"),
        (
            data_of({"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}),
            "indices are not 0 … 1",
        ),
        (
            data_of({"index": 0, "embedding": [1.0]}, {"index": 2, "embedding": [1.0]}),
            "indices are not 0 … 1",
        ),
        (data_of({"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [1.0, 2.0]}), "one length"),
        (data_of({"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": ["x"]}), "lists of numbers"),
        (data_of({"index": 0, "embedding": [1.0]}, {"index": 1}), "lists of numbers"),
        (data_of({"index": 0, "embedding": [0.0]}, {"index": 1, "embedding": [1.0]}), "only zero"),
        (data_of({"index": 0, "embedding": [1e30]}, {"index": 1, "embedding": [1e39]}), "infinite"),
        (data_of({"index": 0, "embedding": []}, {"index": 1, "embedding": []}), "shape"),
        (Fault(change=lambda _: [1, 2]), "no list `data`"),
        (Fault(change=lambda _: {"data": "none", "usage": 3}), "no list `data`"),
    ],
)
def test_an_unusable_answer_is_asked_for_again_and_named_in_the_end(
    server: LocalServer, fault: Fault, problem: str
) -> None:
    server.faults = [fault]
    np.testing.assert_allclose(encoder_of(server).encode(["ab", "c"]), unit(["ab", "c"]), rtol=1e-6)
    server.faults = [fault] * 3
    with pytest.raises(ProviderError) as caught:
        encoder_of(server).encode(["ab", "c"])
    assert problem in caught.value.found


def test_nothing_is_asked_twice_across_runs_batch_sizes_and_purposes(
    server: LocalServer, tmp_path: Path
) -> None:
    first = with_small_batches(encoder_of(server, ledger=tmp_path), items=2)
    expected = first.encode(["a", "b", "c"])
    first.close()
    second = with_small_batches(encoder_of(server, ledger=tmp_path), items=5)
    np.testing.assert_array_equal(second.encode(["c", "new", "a", "b"])[[2, 3, 0]], expected)
    second.encode_queries(["a"])  # without prompts and purposes a query is the same question
    assert sorted(server.texts) == ["a", "b", "c", "new"]
    assert encoder_of(server, name="other", ledger=tmp_path).encode(["a"]).shape == (1, 27)
    assert encoder_of(server, dimension=4, ledger=tmp_path).encode(["a"]).shape == (1, 4)
    assert server.texts.count("a") == 3


def test_a_run_stopped_by_its_budget_resumes_with_the_rest(server: LocalServer, tmp_path: Path) -> None:
    texts = [f"text {n:03d}" for n in range(30)]  # two words each, estimated at three tokens
    limits = {"token_budget": 40, "max_concurrency": 2}
    poor = with_small_batches(encoder_of(server, ledger=tmp_path, settings=limits), items=2)
    with pytest.raises(BudgetExhausted, match="kept"):
        poor.encode(texts)
    assert poor.usage.tokens <= 40
    bought = len(server.texts)
    assert bought >= 16
    poor.close()
    rich = with_small_batches(encoder_of(server, ledger=tmp_path, settings={"token_budget": 1000}), items=2)
    np.testing.assert_allclose(rich.encode(texts), unit(texts), rtol=1e-6)
    assert sorted(server.texts) == texts
    rich.close()


def test_cost_is_counted_from_what_is_billed(server: LocalServer) -> None:
    encoder = encoder_of(server, settings={"price": Price(20.0)})
    encoder.encode(["one two three", "four five"])
    assert encoder.usage == TokenUsage(1, 5, 0)
    assert encoder.cost == pytest.approx(5 * 20.0 / 1e6)
    settings = ApiSettings(base_url=f"{server.url}/v1", price=Price(7.0))
    dear = load_api_encoder("openai:text-embedding-3-small", settings=settings)
    assert dear.client.settings.price == Price(7.0)  # not the published one


def test_texts_that_are_too_long_are_cut_not_lost(server: LocalServer, tmp_path: Path) -> None:
    server.max_chars = 100
    texts = ["short", "a" * 50 + "b" * 500, "also short"]
    encoder = encoder_of(server, ledger=tmp_path)
    vectors = encoder.encode(texts)
    assert encoder.truncated == 1
    np.testing.assert_allclose(vectors[[0, 2]], unit([texts[0], texts[2]]), rtol=1e-6)
    cut = max(server.texts, key=lambda t: len(t) if len(t) <= 100 else 0)
    np.testing.assert_allclose(vectors[1], unit([cut])[0], rtol=1e-6)
    assert texts[1].startswith(cut)
    before = len(server.seen)
    np.testing.assert_array_equal(encoder.encode(texts), vectors)
    assert len(server.seen) == before


def test_another_refusal_is_not_taken_for_a_long_text(server: LocalServer) -> None:
    server.faults = [Fault(status=400, body={"error": {"message": "unknown model m"}})]
    with pytest.raises(ProviderError, match="refused"):
        encoder_of(server).encode(["a", "b"])
    assert len(server.seen) == 1


def provider(
    server: LocalServer, name: str, model: str, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> ApiEncoder:
    protocol = PROTOCOLS[name]
    monkeypatch.setenv(protocol.key_env, "test-key-0123456789")
    root = f"{server.url}/v2" if name == "cohere" else f"{server.url}/v1"
    settings = ApiSettings(base_url=root, key_env=protocol.key_env, backoff_s=0.01)
    return load_api_encoder(f"{name}:{model}", settings=settings, **options)


@pytest.mark.parametrize(
    ("name", "model", "field", "query", "document", "path"),
    [
        ("cohere", "embed-english-v3.0", "texts", "search_query", "search_document", "/v2/embed"),
        ("voyage", "voyage-3", "input", "query", "document", "/v1/embeddings"),
    ],
)
def test_cohere_and_voyage_are_told_queries_from_documents(
    server: LocalServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str,
    model: str,
    field: str,
    query: str,
    document: str,
    path: str,
) -> None:
    encoder = provider(server, name, model, monkeypatch, ledger=tmp_path)
    np.testing.assert_allclose(encoder.encode_documents(["abc", "b"]), unit(["abc", "b"]), rtol=1e-6)
    np.testing.assert_allclose(encoder.encode_queries(["abc"]), unit(["zabc"]), rtol=1e-6)
    assert [(s.path, s.body["input_type"], s.body[field]) for s in server.seen] == [
        (path, document, ["abc", "b"]),
        (path, query, ["abc"]),
    ]
    assert server.seen[0].headers["authorization"] == "Bearer test-key-0123456789"
    assert encoder.usage == TokenUsage(2, 3, 0)


@pytest.mark.parametrize(("name", "items"), [("cohere", 96), ("voyage", 128)])
def test_the_providers_batch_limits_are_kept(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch, name: str, items: int
) -> None:
    texts = [f"t{n}" for n in range(items + 1)]
    encoder = provider(server, name, "m", monkeypatch, dimension=5)
    np.testing.assert_allclose(encoder.encode(texts), unit(texts, 5), rtol=1e-6)
    assert sorted(len(s.body.get("texts", s.body.get("input"))) for s in server.seen) == [1, items]
    assert server.seen[0].body["output_dimension"] == 5


@pytest.mark.parametrize(
    "change",
    [
        lambda a: {**a, "embeddings": {"float": a["embeddings"]["float"][:1]}},
        lambda a: {**a, "embeddings": {"int8": []}},
        lambda a: {**a, "embeddings": None},
    ],
)
def test_coheres_unusable_answers_are_asked_for_again(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch, change: Any
) -> None:
    server.faults = [Fault(change=change)]
    encoder = provider(server, "cohere", "m", monkeypatch)
    np.testing.assert_allclose(encoder.encode(["ab", "c"]), unit(["ab", "c"]), rtol=1e-6)
    assert encoder.client.counts.malformed == 1


def test_prompts_of_known_models_are_applied_where_the_protocol_has_no_purpose(server: LocalServer) -> None:
    encoder = encoder_of(server, name="intfloat/e5-base-v2")
    encoder.encode_queries(["what"])
    encoder.encode_documents(["that"])
    encoder.encode(["bare"])
    encoder.encode(["text"], prompt="own: ")
    assert server.texts == ["query: what", "passage: that", "bare", "own: text"]
    plain = encoder_of(server, name="intfloat/e5-base-v2", prompts=Prompts())
    plain.encode_queries(["who"])
    assert server.texts[-1] == "who"


@pytest.mark.parametrize("bad", ["", "  \n", None, 7])
def test_empty_texts_and_other_types_are_refused_with_their_index(server: LocalServer, bad: Any) -> None:
    with pytest.raises(DataError, match="text 1"):
        encoder_of(server).encode(["fine", bad])
    assert server.seen == []


def test_half_a_surrogate_pair_is_refused(server: LocalServer) -> None:
    with pytest.raises(DataError, match="surrogate"):
        encoder_of(server).encode(["broken \ud83d emoji"])


def test_progress_is_told(server: LocalServer) -> None:
    told: list[tuple[int, int | None]] = []
    encoder = with_small_batches(encoder_of(server), items=2)
    encoder.encode(["a", "b", "c"], progress=lambda done, total, what: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("name", "protocol", "model", "base_url"),
    [
        ("openai:text-embedding-3-small", "openai", "text-embedding-3-small", "https://api.openai.com/v1"),
        ("cohere:embed-english-v3.0", "cohere", "embed-english-v3.0", "https://api.cohere.com/v2"),
        ("voyage:voyage-3", "voyage", "voyage-3", "https://api.voyageai.com/v1"),
        ("http://host:8000/v1#BAAI/bge-m3", "openai", "BAAI/bge-m3", "http://host:8000/v1"),
        ("https://host/v1/#m", "openai", "m", "https://host/v1"),
    ],
)
def test_names(name: str, protocol: str, model: str, base_url: str) -> None:
    spec = parse_api_spec(name)
    assert (spec.protocol.name, spec.model, spec.base_url) == (protocol, model, base_url)
    assert is_api_spec(name)
    assert parse_api_spec(spec.name) == spec


@pytest.mark.parametrize("name", ["openai:", "http://host/v1", "https://#m", "azure:thing"])
def test_names_that_mean_nothing(name: str) -> None:
    with pytest.raises(UserError):
        load_api_encoder(name)


@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "BAAI/bge-m3", "/models/openai", "C:\\models\\x"])
def test_local_names_are_no_api(name: str) -> None:
    assert not is_api_spec(name)


@pytest.mark.parametrize("name", ["openai:text-embedding-3-small", "http://host/v1#m"])
def test_a_model_behind_an_api_is_not_looked_for_on_the_hub(name: str) -> None:
    with pytest.raises(ModelError, match="behind an API"):
        resolve_model(name)


def test_packing_is_exact() -> None:
    vector = np.asarray([1 / 3, -1e-30, 65504.0], dtype=np.float32)
    np.testing.assert_array_equal(unpack(pack(vector)), vector)


def test_an_oversized_text_makes_a_batch_of_its_own_and_none_is_lost() -> None:
    texts = ["a" * 90, "b", "c" * 90, "d" * 3]
    batches = list(batch_texts(texts, max_items=10, max_tokens=5))
    assert [t for batch in batches for t in batch] == texts
    assert [len(batch) for batch in batches] == [1, 1, 1, 1]
    assert estimate_tokens("漢字") == 2


def test_opening_by_name(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_encoder(str(tiny_model), dimension=16).dimension == 16
    monkeypatch.setenv("OPENAI_API_KEY", "test-key-0123456789")
    api = open_encoder("openai:text-embedding-3-small")
    assert (api.max_length, api.client.settings.price.input_per_million) == (8191, 0.02)  # type: ignore[attr-defined]
    with pytest.raises(ModelError, match="pooling"):
        open_encoder("openai:text-embedding-3-small", pooling="cls")

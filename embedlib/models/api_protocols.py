"""How each provider's embedding endpoint is spoken to: pure functions from texts to JSON and back."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from embedlib.contracts import Floats
from embedlib.errors import ModelError
from embedlib.http.request import Malformed
from embedlib.http.usage import TokenUsage

Purpose = Literal["query", "document"]


@dataclass(frozen=True)
class Ask:
    """What is asked for besides the texts: model, purpose, and the dimension if not the model's own."""

    model: str
    purpose: Purpose
    dimension: int | None = None


@dataclass(frozen=True)
class Protocol:
    """One provider's endpoint.

    Args:
        name: Prefix of its models' names: ``openai:text-embedding-3-small``.
        base_url: Default root of the API.
        path: Endpoint below it.
        key_env: Variable that its own documentation uses for the key.
        max_items: Texts a request may hold.
        max_tokens: Tokens a request may hold.
        has_purpose: Whether the provider itself tells queries from documents.
        body: JSON body of a request.
        parse: JSON answer to ([n, d], what it cost).
    """

    name: str
    base_url: str
    path: str
    key_env: str
    max_items: int
    max_tokens: int
    has_purpose: bool
    body: Callable[[Sequence[str], Ask], dict[str, Any]]
    parse: Callable[[Any, int], tuple[Floats, TokenUsage]]


def openai_body(texts: Sequence[str], ask: Ask) -> dict[str, Any]:
    """OpenAI ``POST /embeddings``; the purpose is not part of this protocol."""
    body: dict[str, Any] = {"model": ask.model, "input": list(texts), "encoding_format": "float"}
    return body if ask.dimension is None else {**body, "dimensions": ask.dimension}


def cohere_body(texts: Sequence[str], ask: Ask) -> dict[str, Any]:
    """Cohere ``POST /v2/embed``."""
    body = {
        "model": ask.model,
        "texts": list(texts),
        "input_type": f"search_{ask.purpose}",
        "embedding_types": ["float"],
        "truncate": "END",
    }
    return body if ask.dimension is None else {**body, "output_dimension": ask.dimension}


def voyage_body(texts: Sequence[str], ask: Ask) -> dict[str, Any]:
    """Voyage ``POST /v1/embeddings``."""
    body = {"model": ask.model, "input": list(texts), "input_type": ask.purpose, "truncation": True}
    return body if ask.dimension is None else {**body, "output_dimension": ask.dimension}


def parse_indexed(answer: Any, count: int) -> tuple[Floats, TokenUsage]:
    """OpenAI's and Voyage's answer: items carry an ``index``, in whatever order they come.

    Args:
        answer: The JSON answer.
        count: n, how many texts were sent.

    Returns:
        float32 [n, d] in the order of the texts, and the tokens billed.

    Raises:
        Malformed: Wrong number of items, indices that are not 0 … n-1, or unusable vectors.
    """
    usage = _usage(answer, "usage", ("prompt_tokens", "total_tokens"))
    items = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise Malformed("no list `data` of objects in the answer", usage)
    if len(items) != count:
        raise Malformed(f"{len(items)} vectors for {count} texts", usage)
    order = [item.get("index", position) for position, item in enumerate(items)]
    if sorted(map(str, order)) != sorted(map(str, range(count))):
        raise Malformed(f"indices are not 0 … {count - 1}: {order[:10]}", usage)
    vectors: list[Any] = [None] * count
    for index, item in zip(order, items, strict=True):
        vectors[int(index)] = item.get("embedding")
    return _matrix(vectors, usage), usage


def parse_cohere(answer: Any, count: int) -> tuple[Floats, TokenUsage]:
    """Cohere's answer: ``embeddings.float``, in the order of the texts; see ``parse_indexed``."""
    meta = answer.get("meta") if isinstance(answer, dict) else None
    usage = _usage(meta, "billed_units", ("input_tokens",))
    embeddings = answer.get("embeddings") if isinstance(answer, dict) else None
    vectors = embeddings.get("float") if isinstance(embeddings, dict) else None
    if not isinstance(vectors, list):
        raise Malformed("no list `embeddings.float` in the answer", usage)
    if len(vectors) != count:
        raise Malformed(f"{len(vectors)} vectors for {count} texts", usage)
    return _matrix(vectors, usage), usage


def _usage(holder: Any, name: str, fields: Sequence[str]) -> TokenUsage:
    """Tokens billed; a provider that does not say costs nothing that can be counted."""
    found = holder.get(name) if isinstance(holder, dict) else None
    for field in fields:
        value = found.get(field) if isinstance(found, dict) else None
        if isinstance(value, int | float) and value >= 0:
            return TokenUsage(1, int(value), 0)
    return TokenUsage(1, 0, 0)


def _matrix(vectors: Sequence[Any], usage: TokenUsage) -> Floats:
    try:
        with np.errstate(over="ignore"):  # beyond float32 becomes infinite, which is refused below
            out = np.asarray(vectors, dtype=np.float64).astype(np.float32)
    except (TypeError, ValueError):
        raise Malformed("vectors are not lists of numbers of one length", usage) from None
    if out.ndim != 2 or out.shape[1] == 0:
        raise Malformed(f"vectors of shape {list(out.shape)}, expected [n, d]", usage)
    if not np.isfinite(out).all() or not out.any(axis=1).all():
        raise Malformed("a vector with NaN, infinite or only zero components", usage)
    return out


PROTOCOLS = {
    "openai": Protocol(
        name="openai",
        base_url="https://api.openai.com/v1",
        path="/embeddings",
        key_env="OPENAI_API_KEY",
        max_items=2048,
        max_tokens=300_000,
        has_purpose=False,
        body=openai_body,
        parse=parse_indexed,
    ),
    "cohere": Protocol(
        name="cohere",
        base_url="https://api.cohere.com/v2",
        path="/embed",
        key_env="CO_API_KEY",
        max_items=96,
        max_tokens=96 * 512,
        has_purpose=True,
        body=cohere_body,
        parse=parse_cohere,
    ),
    "voyage": Protocol(
        name="voyage",
        base_url="https://api.voyageai.com/v1",
        path="/embeddings",
        key_env="VOYAGE_API_KEY",
        max_items=128,
        max_tokens=120_000,
        has_purpose=True,
        body=voyage_body,
        parse=parse_indexed,
    ),
}


@dataclass(frozen=True)
class ApiSpec:
    """A model behind an API, taken apart: protocol, model, and where it is if not at the default."""

    protocol: Protocol
    model: str
    base_url: str
    key_env: str | None

    @property
    def name(self) -> str:
        """The name that ``parse_api_spec`` takes apart."""
        if self.base_url == self.protocol.base_url:
            return f"{self.protocol.name}:{self.model}"
        return f"{self.base_url}#{self.model}"


def is_api_spec(name: str) -> bool:
    """Whether a model's name means an API: ``openai:…``, ``cohere:…``, ``voyage:…``, ``http(s)://…#…``.

    >>> is_api_spec("openai:text-embedding-3-small"), is_api_spec("intfloat/e5-base-v2")
    (True, False)
    """
    return name.split(":", 1)[0] in {*PROTOCOLS, "http", "https"} and ":" in name


def parse_api_spec(name: str) -> ApiSpec:
    """Take an API model's name apart.

    Args:
        name: ``openai:text-embedding-3-small``, ``cohere:embed-english-v3.0``, ``voyage:voyage-3``,
            or ``http://host:port/v1#model`` for an OpenAI-compatible endpoint.

    Raises:
        ModelError: It is none of these.
    """
    prefix, _, rest = name.partition(":")
    if prefix in PROTOCOLS and rest:
        protocol = PROTOCOLS[prefix]
        return ApiSpec(protocol, rest, protocol.base_url, protocol.key_env)
    base_url, _, model = name.partition("#")
    if prefix in {"http", "https"} and base_url and model:
        return ApiSpec(PROTOCOLS["openai"], model, base_url.rstrip("/"), None)
    raise ModelError(
        f"{name!r} names no model behind an API",
        expected="openai:MODEL, cohere:MODEL, voyage:MODEL, or http://host/v1#MODEL",
        remedy="for an OpenAI-compatible server, put the model's name behind a #",
    )


#: For batching and budgets; what is billed comes from the provider.
BYTES_PER_TOKEN = 3


def estimate_tokens(text: str) -> int:
    """A cautious number of tokens: UTF-8 bytes over 3 (English has about 4 a token, Chinese 3).

    >>> estimate_tokens("three words here")
    6
    """
    return math.ceil(len(text.encode()) / BYTES_PER_TOKEN)


def batch_texts(texts: Sequence[str], max_items: int, max_tokens: int) -> Iterator[list[str]]:
    """Consecutive batches of at most ``max_items`` texts and about ``max_tokens`` tokens.

    A text that is longer than ``max_tokens`` makes a batch of its own.

    >>> list(batch_texts(["aaaaaa", "bbb", "ccc", "ddd"], max_items=2, max_tokens=2))
    [['aaaaaa'], ['bbb', 'ccc'], ['ddd']]
    """
    batch: list[str] = []
    tokens = 0
    for text in texts:
        size = estimate_tokens(text)
        if batch and (len(batch) == max_items or tokens + size > max_tokens):
            yield batch
            batch, tokens = [], 0
        batch.append(text)
        tokens += size
    if batch:
        yield batch


def pack(vector: Floats) -> str:
    """float32 [d], little endian, as base64: a third of the size of JSON numbers, and exact."""
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


def unpack(packed: str) -> Floats:
    """The vector that ``pack`` packed, float32 [d]."""
    return np.frombuffer(base64.b64decode(packed), dtype="<f4")

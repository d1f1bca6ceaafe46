"""Encoders behind an API: OpenAI, Cohere, Voyage and every OpenAI-compatible endpoint."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from embedlib.contracts import Floats
from embedlib.errors import DataError, ModelError
from embedlib.http.client import ApiClient
from embedlib.http.ledger import Ledger
from embedlib.http.request import ApiRequest, ApiSettings, RequestRejected
from embedlib.http.usage import Price, TokenUsage
from embedlib.models.api_protocols import (
    ApiSpec,
    Ask,
    Purpose,
    batch_texts,
    estimate_tokens,
    pack,
    parse_api_spec,
    unpack,
)
from embedlib.models.catalog import find_model
from embedlib.models.encoder import check_texts, unit_norm
from embedlib.models.prompts import Prompts, known_prompts
from embedlib.progress import Progress, silent

logger = logging.getLogger(__name__)

_TOO_LONG_STATUS = (400, 422)
_TOO_LONG = ("context", "too long", "maximum", "too many tokens")
_SHORTEST = 16  # characters; a text that is refused even so is not refused for its length


def load_api_encoder(
    name: str,
    *,
    settings: ApiSettings | None = None,
    dimension: int | None = None,
    max_length: int | None = None,
    prompts: Prompts | None = None,
    ledger: Path | None = None,
) -> ApiEncoder:
    """An encoder behind an API; the catalog knows length and price of the usual ones.

    Args:
        name: See ``parse_api_spec``.
        settings: Where and how to ask; the provider's own address and key variable by default.
        dimension: Ask for vectors of this many components (OpenAI ``dimensions``, Cohere and
            Voyage ``output_dimension``).
        max_length: Tokens it sees of a text; the catalog's by default. Overlong texts are cut, never refused.
        prompts: Prefixes of queries and documents; by default those published for the model,
            where the provider does not tell queries from documents itself.
        ledger: Folder that keeps every vector bought; the same text is never sent twice.

    Raises:
        ModelError: The name is not an API's.
        ConfigError: The key's variable is not set, or a budget in money has no price.
    """
    spec = parse_api_spec(name)
    settings = settings or ApiSettings(base_url=spec.base_url, key_env=spec.key_env)
    known = find_model(name)
    if settings.price is None and known and known.price:
        settings = replace(settings, price=Price(known.price.usd_per_million_tokens))
    if prompts is None:
        prompts = Prompts() if spec.protocol.has_purpose else known_prompts(spec.model) or Prompts()
    client = ApiClient(settings, ledger=Ledger(ledger) if ledger else None)
    return ApiEncoder(
        client,
        replace(spec, base_url=settings.base_url),
        dimension=dimension,
        max_length=max_length or (known.context_tokens if known else None),
        prompts=prompts,
    )


class ApiEncoder:
    """Implements ``embedlib.models.encoder.Encoder`` over HTTP.

    Args:
        client: Asks; its settings hold concurrency, time-outs, retries and budget.
        spec: Which model of which provider.
        dimension: Components asked for; None for the model's own, known after the first call.
        max_length: Tokens it sees of a text, when known.
        prompts: Prefixes of queries and documents.
    """

    normalized = True

    def __init__(
        self,
        client: ApiClient,
        spec: ApiSpec,
        *,
        dimension: int | None = None,
        max_length: int | None = None,
        prompts: Prompts | None = None,
    ) -> None:
        self.client, self.spec = client, spec
        self.max_length, self.prompts = max_length, prompts or Prompts()
        self.truncated = 0
        self._asked_dimension = self._dimension = dimension

    def __repr__(self) -> str:
        return f"ApiEncoder({self.name!r})"

    @property
    def name(self) -> str:
        """What it is loaded as."""
        return self.spec.name

    @property
    def dimension(self) -> int:
        """Components per vector; asks for one short text's vector when it is not known yet."""
        if self._dimension is None:
            self.encode(["dimension"])
        if self._dimension is None:
            raise ModelError("the provider gave no vector", where=self.name)
        return self._dimension

    @property
    def usage(self) -> TokenUsage:
        """Requests and tokens billed so far, earlier runs with the same ledger included."""
        return self.client.budget.spent

    @property
    def tokens(self) -> int:
        """Tokens encoded so far, as the provider counts them."""
        return self.usage.input_tokens

    @property
    def cost(self) -> float:
        """US dollars so far; 0 when no price is known."""
        return self.client.cost

    def close(self) -> None:
        """Close connections and the ledger."""
        self.client.close()

    def encode(self, texts: Sequence[str], *, prompt: str = "", progress: Progress = silent) -> Floats:
        """Vectors of ``texts``, float32 [n, dimension], each text preceded by ``prompt``.

        Raises:
            DataError: A text is empty or not text.
            BudgetExhausted: The budget is spent; vectors bought so far are in the ledger.
            ProviderError: The provider failed for good.
            ModelError: The vectors' dimension is not the one asked for.
        """
        return self._encode(texts, prompt, "document", progress)

    def encode_queries(self, texts: Sequence[str], *, progress: Progress = silent) -> Floats:
        """Vectors of queries; see ``encode``."""
        return self._encode(texts, self.prompts.query, "query", progress)

    def encode_documents(self, texts: Sequence[str], *, progress: Progress = silent) -> Floats:
        """Vectors of documents; see ``encode``."""
        return self._encode(texts, self.prompts.document, "document", progress)

    def _encode(self, texts: Sequence[str], prompt: str, purpose: Purpose, progress: Progress) -> Floats:
        check_texts(texts, self.name)
        if not len(texts):
            return np.zeros((0, self.dimension), dtype=np.float32)
        unique = list(dict.fromkeys(prompt + text for text in texts))
        row_of = {text: row for row, text in enumerate(unique)}
        _check_unicode(unique, self.name)
        ask = Ask(self.spec.model, purpose, self._asked_dimension)
        matrix: Floats | None = None
        for done, (text, packed) in enumerate(self._answers(unique, ask), start=1):
            vector = self._checked(unpack(packed))
            if matrix is None:
                matrix = np.empty((len(unique), len(vector)), dtype=np.float32)
            matrix[row_of[text]] = vector
            progress(done, len(unique), f"encode with {self.name}")
        out = np.asarray(matrix)[[row_of[prompt + text] for text in texts]]
        return unit_norm(out)

    def _answers(self, texts: Sequence[str], ask: Ask) -> Iterator[tuple[str, str]]:
        """(text, packed vector): what the ledger holds first, then what is bought, batch by batch."""
        keys = {text: self._key(text, ask) for text in texts}
        missing = [text for text in texts if not self.client.known(keys[text])]
        bought = set(missing)
        for text in texts:
            if text not in bought:
                yield text, self.client.recall(keys[text])
        limits = self.spec.protocol
        batches = batch_texts(missing, limits.max_items, limits.max_tokens)
        for batch, packed in self.client.map(partial(self._ask, ask=ask), batches):
            yield from zip(batch, packed, strict=True)

    def _ask(self, batch: list[str], ask: Ask) -> tuple[list[str], list[str]]:
        """A batch and its packed vectors; what the provider finds too long is split, then cut."""
        try:
            return batch, self._send(batch, ask)
        except RequestRejected as error:
            if not _too_long(error):
                raise
            if len(batch) == 1:
                return batch, self._cut(batch[0], ask, error)
        half = len(batch) // 2
        first, second = self._ask(batch[:half], ask), self._ask(batch[half:], ask)
        return batch, first[1] + second[1]

    def _cut(self, text: str, ask: Ask, error: RequestRejected) -> list[str]:
        """Ask for ever shorter beginnings of a text until the provider takes one."""
        shorter = text
        while len(shorter) > _SHORTEST:
            shorter = shorter[: int(len(shorter) * 0.75)]
            try:
                packed = self._send([shorter], ask, keys=[self._key(text, ask)])
            except RequestRejected as again:
                if not _too_long(again):
                    raise
                continue
            self.truncated += 1
            logger.warning("%s: a text of %d characters was cut to %d", self.name, len(text), len(shorter))
            return packed
        raise error

    def _send(self, texts: list[str], ask: Ask, keys: list[str] | None = None) -> list[str]:
        protocol = self.spec.protocol

        def parse(answer: Any) -> tuple[list[Any], TokenUsage]:
            vectors, usage = protocol.parse(answer, len(texts))
            return [pack(vector) for vector in vectors], usage

        request = ApiRequest(
            path=protocol.path,
            body=protocol.body(texts, ask),
            parse=parse,
            estimate=TokenUsage(1, sum(map(estimate_tokens, texts)), 0),
            keys=keys or [self._key(text, ask) for text in texts],
        )
        return self.client.send(request)

    def _key(self, text: str, ask: Ask) -> str:
        purpose = ask.purpose if self.spec.protocol.has_purpose else ""
        return self.client.key_of(self.spec.protocol.path, [ask.model, purpose, ask.dimension, text])

    def _checked(self, vector: Floats) -> Floats:
        if self._dimension is None:
            self._dimension = len(vector)
        if len(vector) != self._dimension:
            raise ModelError(
                "the provider gave vectors of another dimension",
                where=self.name,
                expected=f"{self._dimension} components",
                found=f"{len(vector)} components",
                remedy="ask for a dimension that the model offers, or for none",
            )
        return vector


def _too_long(error: RequestRejected) -> bool:
    message = error.found.lower()
    return error.status == httpx.codes.REQUEST_ENTITY_TOO_LARGE or (
        error.status in _TOO_LONG_STATUS and any(word in message for word in _TOO_LONG)
    )


def _check_unicode(texts: Sequence[str], where: str) -> None:
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise DataError(
                "a text holds half of a surrogate pair, which no provider takes",
                where=where,
                found=repr(text[max(0, error.start - 20) : error.end + 20]),
                remedy="clean the texts (ingest does)",
            ) from None

"""Options of remote providers: where they are, what they may cost, how they are asked."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from embedlib.config.base import ENV_NAME, OPERATIONAL, Section
from embedlib.http.request import ApiSettings


class ApiProvider(Section):
    """A remote provider. Its key is named by ``key_env`` and read from the environment only."""

    base_url: str = Field(default="https://api.openai.com/v1", pattern=r"^https?://[^/\s?#@]+(/[^\s?#@]*)?$")
    """Root of the API, without a key, a password or a query."""
    model: str = Field(min_length=1)
    """Name of the model at the provider."""
    key_env: str | None = Field(ApiSettings.key_env, pattern=ENV_NAME)
    """Environment variable that holds the key; null = the server needs none."""
    max_concurrency: int = Field(ApiSettings.max_concurrency, ge=1, le=256, json_schema_extra=OPERATIONAL)
    """Requests in flight at most."""
    timeout_s: float = Field(ApiSettings.timeout_s, gt=0, le=3600, json_schema_extra=OPERATIONAL)
    """Seconds that a request may take."""
    retries: int = Field(ApiSettings.retries, ge=0, le=20, json_schema_extra=OPERATIONAL)
    """Further attempts after a failure that may pass; waiting for a rate limit does not count."""
    backoff_s: float = Field(ApiSettings.backoff_s, gt=0, le=60, json_schema_extra=OPERATIONAL)
    """First wait between attempts, in seconds; doubles each time, with jitter."""
    max_wait_s: float = Field(ApiSettings.max_wait_s, gt=0, le=3600, json_schema_extra=OPERATIONAL)
    """Longest wait, in seconds, that the provider may ask for; ten times as long is waited in all."""
    token_budget: int | None = Field(ApiSettings.token_budget, ge=1)
    """Tokens that may be used at most, over all resumed runs; null = no limit."""
    money_budget: float | None = Field(ApiSettings.money_budget, gt=0)
    """US dollars that may be spent at most, over all resumed runs; null = no limit."""
    price_input_per_million: float | None = Field(default=None, ge=0)
    """US dollars per million input tokens; needed for money_budget."""
    price_output_per_million: float = Field(default=0.0, ge=0)
    """US dollars per million output tokens."""

    @model_validator(mode="after")
    def _money_needs_a_price(self) -> Self:
        if self.money_budget is not None and self.price_input_per_million is None:
            raise ValueError("money_budget needs price_input_per_million")
        return self

    def client_arguments(self) -> dict[str, Any]:
        """The arguments of ``embedlib.http.request.api_settings``."""
        return self.model_dump(include=_CLIENT)


_CLIENT = {
    "base_url",
    "key_env",
    "max_concurrency",
    "timeout_s",
    "retries",
    "backoff_s",
    "max_wait_s",
    "token_budget",
    "money_budget",
    "price_input_per_million",
    "price_output_per_million",
}


class Llm(ApiProvider):
    """A language model that writes queries, at any OpenAI-compatible chat endpoint."""

    queries_per_document: int = Field(default=3, ge=1, le=20)
    """Queries asked for a document."""
    temperature: float = Field(default=1.0, ge=0, le=2)
    """Sampling temperature; variety needs some."""
    max_output_tokens: int = Field(default=512, ge=16, le=8192)
    """Tokens that one answer may have at most."""
    max_document_chars: int = Field(default=8000, ge=100, le=200_000)
    """Characters of a document that are shown to the model."""
    output_limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """Name by which the endpoint takes max_output_tokens."""
    domain: str = Field(default="", max_length=500)
    """One sentence on who searches here and for what; helps the model to write as they do."""

    def writer_arguments(self) -> dict[str, Any]:
        """The arguments of ``embedlib.pairs.llm.Writer``."""
        return self.model_dump(include=_WRITER)


_WRITER = {"model", "temperature", "max_output_tokens", "max_document_chars", "output_limit_field", "domain"}

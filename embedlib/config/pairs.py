"""Options of synthesize and mine: training pairs, hard negatives, teacher scores."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any, Literal, Self

from pydantic import model_validator

from embedlib.config.base import ENV_NAME, OPERATIONAL, Field, Section
from embedlib.http.request import ApiSettings
from embedlib.http.usage import Price
from embedlib.mining.options import Draw, Miner, MiningPlan, Rules, Thresholds

Origin = Literal[
    "label", "title", "heading", "sentence", "crop", "adjacent", "same_document", "keywords", "seq2seq", "llm"
]
Share = Annotated[float, Field(gt=0, le=1)]


class Seq2Seq(Section):
    """A T5-style model that writes queries a document would answer (doc2query, GPL)."""

    model: str = Field(min_length=1)
    """Name or folder of a seq2seq model, for example ``BeIR/query-gen-msmarco-t5-base-v1``."""
    prompt: str = ""
    """Text set before each document."""
    queries_per_document: int = Field(3, ge=1, le=50)
    """Queries sampled for a document."""
    max_query_tokens: int = Field(64, ge=4, le=512)
    """Tokens a query may have."""
    max_documents: int = Field(100_000, ge=1)
    """Documents that get queries; more are sampled down."""
    batch_size: int = Field(16, ge=1, le=1024)
    """Documents generated for at once."""


class Llm(Section):
    """A language model that writes queries, at any OpenAI-compatible chat endpoint.

    Its key is named by ``key_env`` and read from the environment only.
    """

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

    @model_validator(mode="after")
    def _money_needs_a_price(self) -> Self:
        if self.money_budget is not None and self.price_input_per_million is None:
            raise ValueError("money_budget needs price_input_per_million")
        return self

    @property
    def settings(self) -> ApiSettings:
        """Where and how the endpoint is asked."""
        names = {field.name for field in fields(ApiSettings)} - {"price"}
        dollars = self.price_input_per_million
        price = None if dollars is None else Price(dollars, self.price_output_per_million)
        return ApiSettings(**self.model_dump(include=names), price=price)

    def writer_arguments(self) -> dict[str, Any]:
        """The arguments of ``embedlib.pairs.llm.Writer``."""
        return self.model_dump(include=_WRITER)


_WRITER = {"model", "temperature", "max_output_tokens", "max_document_chars", "output_limit_field", "domain"}


class Synthesize(Section):
    """Training pairs: labelled ones, and ones made from the documents' own structure or by a model."""

    origins: tuple[Origin, ...] = ()
    """Where pairs come from. Empty: labels alone when there are ``label_minimum`` of them; otherwise
    labels with titles, headings, sentences, crops of documents that have none of these, and the
    queries of ``seq2seq`` and ``llm`` if they are set."""
    label_minimum: int = Field(500, ge=0)
    """Labelled pairs from which labels alone are trained on."""
    shares: dict[Origin, Share] = Field(default_factory=dict)
    """Share of an origin's pairs that goes into the mix; 1 where nothing is said."""
    per_document: int = Field(4, ge=1, le=1000)
    """Unlabelled pairs a document may give at most."""
    max_pairs: int = Field(2_000, ge=1)
    """Unlabelled pairs at most, from a random sample of as many documents: the default training reads 640
    of them. A longer training, or one on pairs that a model writes (GPL: 250,000), wants more."""
    sentences_per_document: int = Field(1, ge=1, le=100)
    """Sentences of a document used as queries."""
    round_trip_k: int = Field(10, ge=0, le=1000)
    """A query stays if its document is among the first so many of BM25 or of the base model; 0: all stay."""
    near_identical: float = Field(0.9, gt=0, le=1)
    """Cosine above which one of two queries is dropped, measured from the mean cosine of unrelated ones."""
    seq2seq: Seq2Seq | None = None
    """Query generation by a seq2seq model."""
    llm: Llm | None = None
    """Query generation by a language model behind an OpenAI-compatible endpoint."""

    @model_validator(mode="after")
    def _generators_are_set(self) -> Self:
        for name in ("seq2seq", "llm"):
            if name in self.origins and getattr(self, name) is None:
                raise ValueError(f"origin {name!r} needs the section synthesize.{name}")
        return self


Teacher = Literal["auto", "none", "hybrid", "cross-encoder", "encoder"]


class Mine(Section):
    """Hard negatives: candidates from several miners, false ones filtered out, and a teacher's scores."""

    miners: tuple[Miner, ...] = Field(Rules.miners, min_length=1)
    """Who proposes candidates; their proposals are united."""
    depth: int = Field(Rules.depth, ge=1, le=2000)
    """Candidates of each miner per query."""
    negatives: int = Field(Draw.negatives, ge=1, le=1000)
    """Maximum negatives per pair."""
    skip_ranks: int = Field(Thresholds.skip_ranks, ge=0)
    """First ranks of each miner that are never negatives."""
    absolute_margin: float | None = Field(Thresholds.absolute_margin, ge=0)
    """A negative must score at least this much below the lowest positive; null = no such filter."""
    relative_margin: float | Literal["auto"] | None = "auto"
    """A negative must score below the lowest positive by this share of its magnitude; ``auto`` is 0.05
    without a teacher, and none with one, whose scores say how relevant each candidate is."""
    max_score: float | None = Thresholds.max_score
    """Candidates that score above this are no negatives."""
    min_score: float | None = Thresholds.min_score
    """Candidates that score below this are too easy."""
    near_duplicate: float = Field(Rules.near_duplicate, gt=0, le=1)
    """Cosine with a positive above which a candidate counts as the same text (from the mean cosine of
    unrelated documents upwards)."""
    sampling: Literal["auto", "top", "random", "score"] = "auto"
    """``top``: the best ranks; ``random``: any of the first ``sample_from``; ``score``: likelier the higher
    they score; ``auto``: top without a teacher, random with one."""
    sample_from: int = Field(Draw.sample_from, ge=1)
    """Ranks that random and score sampling draw from."""
    cross_encoder: str | None = MiningPlan.cross_encoder
    """Name or folder of a CrossEncoder that scores every candidate again before the filters."""
    teacher: Teacher = "auto"
    """Whose scores are stored for distillation: the hybrid of BM25 and the base model, a cross-encoder or
    a larger encoder; ``auto``: the hybrid where less than half of the pairs are labelled and people's dev
    queries do not rank it below the model, else none."""
    teacher_model: str | None = MiningPlan.teacher_model
    """Name or folder of the cross-encoder or encoder that teaches."""

    @property
    def for_reranker(self) -> Mine:
        """The same for a reranker, which meets all of the first ranks: any of them can be a negative."""
        return self.model_copy(update={"sampling": "random"}) if self.sampling == "auto" else self

    @model_validator(mode="after")
    def _teacher_has_a_model(self) -> Self:
        if self.teacher in ("cross-encoder", "encoder") and self.teacher_model is None:
            raise ValueError(f"teacher {self.teacher!r} needs teacher_model")
        return self

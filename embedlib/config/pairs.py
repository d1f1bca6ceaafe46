"""Options of synthesize and mine: training pairs, hard negatives, teacher scores."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import model_validator

from embedlib.config.api import Llm
from embedlib.config.base import Field, Section

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

    miners: tuple[Literal["dense", "bm25"], ...] = Field(("dense", "bm25"), min_length=1)
    """Who proposes candidates; their proposals are united."""
    depth: int = Field(100, ge=1, le=2000)
    """Candidates of each miner per query."""
    negatives: int = Field(7, ge=1, le=1000)
    """Maximum negatives per pair."""
    minimum: int = Field(1, ge=0)
    """A pair left with fewer negatives counts as having too few (it is kept, and reported)."""
    skip_ranks: int = Field(0, ge=0)
    """First ranks of each miner that are never negatives."""
    absolute_margin: float | None = Field(None, ge=0)
    """A negative must score at least this much below the lowest positive; null = no such filter."""
    relative_margin: float | Literal["auto"] | None = "auto"
    """A negative must score below the lowest positive by this share of its magnitude; ``auto`` is 0.05
    without a teacher, and none with one, whose scores say how relevant each candidate is."""
    max_score: float | None = None
    """Candidates that score above this are no negatives."""
    min_score: float | None = None
    """Candidates that score below this are too easy."""
    near_duplicate: float = Field(0.97, gt=0, le=1)
    """Cosine with a positive above which a candidate counts as the same text (from the mean cosine of
    unrelated documents upwards)."""
    sampling: Literal["auto", "top", "random", "score"] = "auto"
    """``top``: the best ranks; ``random``: any of the first ``sample_from``; ``score``: likelier the higher
    they score; ``auto``: top without a teacher, random with one."""
    sample_from: int = Field(40, ge=1)
    """Ranks that random and score sampling draw from."""
    cross_encoder: str | None = None
    """Name or folder of a CrossEncoder that scores every candidate again before the filters."""
    teacher: Teacher = "auto"
    """Whose scores are stored for distillation: the hybrid of BM25 and the base model, a cross-encoder or
    a larger encoder; ``auto``: the hybrid where less than half of the pairs are labelled and people's dev
    queries do not rank it below the model, else none."""
    teacher_model: str | None = None
    """Name or folder of the cross-encoder or encoder that teaches."""
    batch_queries: int = Field(2048, ge=1, le=100_000)
    """Queries mined at once; a killed run resumes after the last finished batch."""

    @property
    def for_reranker(self) -> Mine:
        """The same for a reranker, which meets all of the first ranks: any of them can be a negative."""
        return self.model_copy(update={"sampling": "random"}) if self.sampling == "auto" else self

    @model_validator(mode="after")
    def _teacher_has_a_model(self) -> Self:
        if self.teacher in ("cross-encoder", "encoder") and self.teacher_model is None:
            raise ValueError(f"teacher {self.teacher!r} needs teacher_model")
        return self

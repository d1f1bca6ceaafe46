"""What clients send and get, with examples for the OpenAPI description."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Text = Annotated[str, StringConstraints(min_length=1)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class SearchRequest(_Request):
    """One query, or several that are answered by one release."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"query": "how do I reset my password", "k": 5},
                {"queries": ["reset password", "delete account"], "mode": "hybrid", "text": "full"},
                {"query": "invoice", "filters": {"lang": "en", "year": [2023, 2024]}, "one_per_group": True},
            ]
        }
    )
    query: Text | None = None
    """One text; or give ``queries``."""
    queries: list[Text] | None = Field(None, min_length=1)
    """Several texts."""
    k: int = Field(10, ge=1)
    """Hits per query."""
    mode: str = "auto"
    """``dense``, ``bm25``, ``hybrid``, or ``auto``: as the release's decision chose."""
    filters: dict[str, Any] | None = None
    """Metadata fields that must equal a value or be one of several."""
    rerank: bool = False
    """Let the server's reranker, else the release's own, order the first hits anew, whatever the mode; in
    the mode ``auto`` a release's own does so unasked."""
    one_per_group: bool = False
    """Only the best part of each ``group_id``."""
    text: Literal["snippet", "full"] = "snippet"
    """A window of the document's text, or all of it."""
    release: int | None = Field(None, ge=1)
    """An earlier release, to compare; the live one unless given."""


class Hit(BaseModel):
    """One document."""

    rank: int
    doc_id: str
    score: float
    title: str
    text: str
    source: str
    group_id: str
    metadata: dict[str, Any]


class Result(BaseModel):
    """The hits of one query, best first."""

    query: str
    hits: list[Hit]


class SearchAnswer(BaseModel):
    """All results, from one release searched in one mode."""

    release: int
    mode: str
    results: list[Result]


class EmbeddingsRequest(_Request):
    """OpenAI's request, with ``input_type`` for the model's prompts."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"input": ["reset my password"], "model": "embedlib", "input_type": "query"},
                {
                    "input": "To reset it, …",
                    "input_type": "document",
                    "dimensions": 128,
                    "encoding_format": "base64",
                },
            ]
        }
    )
    input: Text | list[Text]
    """A text or several; token ids are not read."""
    model: str = "embedlib"
    """``embedlib`` for the live model, or a model's name from an earlier answer, to be sure of it."""
    input_type: Literal["query", "document"] = "document"
    """Whose prompt stands before each text."""
    dimensions: int | None = Field(None, ge=1)
    """Leading components, at unit norm again (for Matryoshka models)."""
    encoding_format: Literal["float", "base64"] = "float"
    """Numbers, or little-endian float32 in base64."""


class Embedding(BaseModel):
    """One vector."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class Usage(BaseModel):
    """Tokens read."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsAnswer(BaseModel):
    """OpenAI's answer; ``model`` names the model by its content, so that it can be asked for again."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: Usage
    release: int


class RerankRequest(_Request):
    """A query and documents to be ordered by it (the shape of Cohere and Jina)."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"query": "reset password", "documents": ["…", "…"], "top_n": 1}]}
    )
    query: Text
    """What the documents are ordered by."""
    documents: list[Text | dict[Literal["text"], Text]] = Field(min_length=1)
    """Texts, or objects with a ``text``."""
    top_n: int | None = Field(None, ge=1)
    """How many to return; all of them unless given."""
    return_documents: bool = False
    """Return the texts too."""
    model: str | None = None
    """The reranker's name from an earlier answer, to be sure of it."""


class Reranked(BaseModel):
    """One document's place."""

    index: int
    relevance_score: float
    document: dict[str, str] | None = None


class RerankAnswer(BaseModel):
    """Documents, most relevant first."""

    id: str
    model: str
    results: list[Reranked]


class ReleaseRow(BaseModel):
    """One release that is kept."""

    number: int
    live: bool
    created_at: str
    search: str
    model: str
    index: str
    corpus: str


class Releases(BaseModel):
    """Newest first."""

    live: int
    releases: list[ReleaseRow]


class Mark(_Request):
    """A result that somebody found right or wrong."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"query": "reset password", "doc_id": "faq-12", "relevant": True, "release": 3}]
        }
    )
    query: Text
    """What was asked."""
    doc_id: Text
    """The document found."""
    relevant: bool
    """Whether it answers the query."""
    release: int = Field(ge=1)
    """The release that found it."""


class Marked(BaseModel):
    """What was written."""

    relevance: int

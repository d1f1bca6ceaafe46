"""Options of the ``index`` stage and of ``publish``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import field_validator

from embedlib.config.base import ENV_NAME, OPERATIONAL, Field, Section
from embedlib.index.choose import Demands


class Index(Section):
    """How the vectors are indexed for search."""

    factory: str = Demands.factory
    """``auto``, ``binary`` (sign bits, then rescoring), or any FAISS factory string such as ``HNSW32``."""
    recall_target: float = Field(Demands.recall_target, gt=0, le=1)
    """Least recall@recall_k against exact search; search parameters are tuned until it is met, and an index
    that does not reach it is never published."""
    recall_k: int = Field(Demands.recall_k, ge=1, le=1000)
    """The k of the measured recall."""
    memory_mb: float | None = Field(Demands.memory_mb, gt=0)
    """Most memory the index may take when searched, in MiB; no limit when empty."""
    latency_ms: float | None = Field(Demands.latency_ms, gt=0)
    """Most time one search may take on one thread, in milliseconds; no limit when empty."""
    flat_limit: int = Field(Demands.flat_limit, ge=0)
    """Up to this many vectors ``auto`` prefers exact search."""
    dimension: int | None = Field(Demands.dimension, ge=1)
    """Index only the first components (Matryoshka models); all of them when empty."""
    tuning_queries: int = Field(200, ge=1, le=10_000)
    """Queries that recall is measured with: development queries, then test texts, then sampled documents."""
    bm25: bool = True
    """Keep a BM25 index beside the vectors, so that lexical and hybrid search start at once."""
    threads: int | None = Field(Demands.threads, ge=1, json_schema_extra=OPERATIONAL)
    """Threads for building; all cores when empty. With one thread a build is reproducible to the byte."""


class CanaryQuery(Section):
    """A query whose answer is known."""

    query: str = Field(min_length=1)
    """The text searched for."""
    doc_id: str = Field(min_length=1)
    """The document that must be among the hits."""


class Target(Section):
    """A vector store that the live release is brought into after every publish."""

    type: Literal["postgres", "qdrant", "milvus", "lancedb"]
    """The store; its client is an extra of the same name, as in `pip install 'embedlib[qdrant]'`."""
    address: str | None = None
    """Its URL, without a secret; what holds no `://` is a file or folder. Empty: read from `address_env`."""
    address_env: str = Field("EMBEDLIB_STORE_ADDRESS", pattern=ENV_NAME)
    """Environment variable that the address is read from, such as one with a database's password."""
    key_env: str | None = Field(None, pattern=ENV_NAME)
    """Environment variable with the API key of Qdrant or the token of Milvus; null = none."""
    collection: str = Field("embedlib", pattern=r"^[a-z][a-z0-9_]{0,39}$")
    """Name that applications search: an alias, a view or a pointer to the collection that is live."""
    index: Literal["hnsw", "exact"] = "hnsw"
    """The store's graph index, or none: every vector is compared."""
    batch: int = Field(500, ge=1, le=10_000)
    """Rows sent at once; fewer where they come to 8 MB before."""

    @field_validator("address")
    @classmethod
    def _absolute(cls, value: str | None) -> str | None:
        """A release remembers it for runs from other folders."""
        return value if not value or "://" in value else str(Path(value).expanduser().absolute())


class Publish(Section):
    """What a release must pass, and how long old ones are kept."""

    canaries: tuple[CanaryQuery, ...] = ()
    """Queries that must find their document before anything is published."""
    target: Target | None = None
    """Vector store to publish into; null = none."""
    self_checks: int = Field(20, ge=0, le=1000)
    """Documents that are encoded again and must find themselves and match their stored vectors."""
    keep: int = Field(5, ge=1)
    """Newest releases that are kept; the live one and its predecessor always are."""
    max_age_days: float | None = Field(None, gt=0)
    """Older releases are removed even when fewer than ``keep``; no limit when empty."""
    artifact_days: float | None = Field(30.0, gt=0)
    """Corpora, vectors and indexes that no kept release names go when unused for so long; null = never."""
    wait: bool = True
    """Wait for another publisher; otherwise refuse while one is at work."""
    replace_documents: bool = False
    """Publish even where fewer than a tenth of the live release's documents are among the new ones; else
    that is taken for the wrong collection. A release does not remember it for later runs."""

    @field_validator("canaries")
    @classmethod
    def _no_blank_query(cls, value: tuple[CanaryQuery, ...]) -> tuple[CanaryQuery, ...]:
        for canary in value:
            if not canary.query.strip():
                raise ValueError("a canary query must hold text")
        return value

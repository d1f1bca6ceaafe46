"""Options of ``embedlib serve``: where it listens, what it admits, what it remembers."""

from __future__ import annotations

from pydantic import Field

from embedlib.config.base import ENV_NAME, Section


class Serve(Section):
    """The live release over HTTP."""

    host: str = "127.0.0.1"
    """Address to listen on; any but loopback needs a key."""
    port: int = Field(8080, ge=0, le=65_535)
    """Port; 0 takes any that is free."""
    key_env: str = Field("EMBEDLIB_SERVE_KEY", pattern=ENV_NAME)
    """Environment variable with the key that requests must carry (`Authorization: Bearer …`)."""
    allowed_hosts: tuple[str, ...] = ()
    """Names that requests may be addressed to, beyond localhost, this machine's and numeric addresses."""
    rerank: str | None = None
    """Cross-encoder (name or folder) for `rerank` in searches and for /v1/rerank; null: the release's own, if
    it has one."""
    max_k: int = Field(1_000, ge=1)
    """Largest number of hits per query."""
    max_queries: int = Field(64, ge=1)
    """Most queries in one search."""
    max_query_chars: int = Field(8_192, ge=1)
    """Longest query."""
    max_texts: int = Field(256, ge=1)
    """Most texts in one request for embeddings or reranking."""
    max_body_mb: float = Field(1.0, gt=0, le=100)
    """Largest body of a request."""
    waiting: int = Field(128, ge=1)
    """Queries that may wait; more are refused with 429."""
    timeout_s: float = Field(10.0, gt=0)
    """Time in which a request arrives, and again in which it is answered."""
    threads: int = Field(2, ge=1, le=64)
    """Batches searched at once."""
    log_share: float = Field(0.0, ge=0, le=1)
    """Share of served queries that is kept in the workspace for `monitor` to find drift in; 0 keeps none."""
    log_days: int = Field(30, ge=1)
    """Days after which kept queries are deleted."""

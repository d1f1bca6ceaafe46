"""Options of the base model and of encoding."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from embedlib.config.base import OPERATIONAL, Section
from embedlib.models.options import Strategy


class Model(Section):
    """The base model."""

    name: str = Field(default="all-MiniLM-L6-v2", min_length=1)
    """Packaged model, local folder (sentence-transformers or transformers), or name on the hub."""
    revision: str | None = Field(default=None, min_length=1)
    """Branch, tag or commit of a hub model; null = its main branch."""
    pooling: Strategy | None = None
    """Pooling of a plain transformers checkpoint, or in place of a model's own; null = its own."""
    query_prompt: str | None = None
    """Prefix of every query; null = the model's own or published one, "" = none."""
    document_prompt: str | None = None
    """Prefix of every document; null = the model's own or published one, "" = none."""
    max_length: int | None = Field(default=None, ge=3, le=131072)
    """Word pieces of a text that the model sees; null = the model's own limit."""
    dimension: int | None = Field(default=None, ge=1, le=65536)
    """Leading components of a vector to keep (Matryoshka models); null = all."""
    trust_remote_code: bool = False
    """Run code that comes with the model. Only for models whose code you have read."""


class Encode(Section):
    """Encoding of the corpus."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of the model; auto = bf16 where it is faster (AMX or AVX512-BF16 CPUs, GPUs)."""
    dtype: Literal["float16", "float32"] = "float16"
    """How vectors are stored."""
    shard_size: int = Field(default=4096, ge=1, le=1_000_000, json_schema_extra=OPERATIONAL)
    """Documents a unit of work: what a crash can lose, and what the task runner fans out."""


class Sparse(Section):
    """A sparse encoder beside vectors and BM25."""

    model: str | None = None
    """SparseEncoder (name or folder), such as a SPLADE, that hybrid search may fuse as a third ranking. Its
    weight is chosen on development queries labelled by people; without any it is not asked. null = none."""

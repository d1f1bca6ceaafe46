"""Encoding of a corpus: shards fanned out over the flow's task runner, then put together."""

from __future__ import annotations

from embedlib.config.root import Config
from embedlib.store import ArtifactRef
from tasks import stages
from tasks.context import RunContext


def encode(run: RunContext, config: Config, *, corpus: ArtifactRef, model: ArtifactRef, label: str = "") -> ArtifactRef:
    """The corpus's vectors by one model; what was encoded before is not encoded again."""
    return stages.encode(run, config.encode, label=label, corpus=corpus, model=model)

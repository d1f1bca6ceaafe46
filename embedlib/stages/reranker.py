"""Train a reranker on the mined examples."""

from __future__ import annotations

from collections.abc import Mapping

from embedlib.artifact import ArtifactRef
from embedlib.config.reranking import Rerank
from embedlib.models.resolve import model_digest, resolve_model
from embedlib.stages.base import Job, Stage, Summary
from embedlib.stages.training import run_training


def run(
    job: Job,
    config: Rerank,
    *,
    corpus: ArtifactRef,
    queries: ArtifactRef,
    examples: ArtifactRef,
    model: ArtifactRef | None = None,
) -> Summary:
    """Train a cross-encoder in a process of its own, from ``model`` unless the options name another one."""
    start = resolve_model(config.start or "") if model is None else model.path
    inputs = {"corpus": corpus, "queries": queries, "examples": examples}
    return run_training(job, "rerank", config, ("start", start), inputs)


def external(config: Rerank) -> Mapping[str, str]:
    """Digest of the weights that training starts from, when they are not an artifact's."""
    return {"start": model_digest(config.start)} if config.start and config.named else {}


STAGE = Stage("reranker", "reranker", run, external, accelerated=True)

"""Distil a model into a smaller one."""

from __future__ import annotations

from collections.abc import Mapping

from embedlib.artifact import ArtifactRef
from embedlib.config.training import Distil
from embedlib.models.resolve import model_digest, resolve_model
from embedlib.stages.base import Job, Stage, Summary
from embedlib.stages.training import run_training
from embedlib.vectors import Vectors


def run(
    job: Job,
    config: Distil,
    *,
    corpus: ArtifactRef,
    queries: ArtifactRef,
    model: ArtifactRef,
    vectors: ArtifactRef,
) -> Summary:
    """Train a student of ``model``, whose ``vectors`` of the corpus it learns to give."""
    Vectors(vectors.path).require_model(model.digest)
    options = config.identity() | {"student": config.kind}
    if named(config):
        options["student"] = str(resolve_model(config.kind))
    inputs = {"corpus": corpus, "queries": queries, "vectors": vectors}
    return run_training(job, "distil", config, ("teacher", model.path), inputs, options)


def named(config: Distil) -> bool:
    """Whether the student is another model."""
    return config.kind not in ("layers", "static")


def external(config: Distil) -> Mapping[str, str]:
    """Digest of the student's starting weights when it is another model."""
    return {"student": model_digest(config.kind)} if named(config) else {}


STAGE = Stage("distil", "model", run, external, accelerated=True)

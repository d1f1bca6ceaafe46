"""Fine-tune the model on the mined examples."""

from __future__ import annotations

from collections.abc import Mapping

from embedlib.artifact import ArtifactRef
from embedlib.config.training import Train
from embedlib.models.resolve import model_digests
from embedlib.stages.base import Job, Stage, Summary
from embedlib.stages.training import run_training


def run(
    job: Job,
    config: Train,
    *,
    corpus: ArtifactRef,
    queries: ArtifactRef,
    examples: ArtifactRef,
    model: ArtifactRef,
) -> Summary:
    """Train in a process of its own; the artifact is the model folder."""
    inputs = {"corpus": corpus, "queries": queries, "examples": examples}
    return run_training(job, "fine-tune", config, ("base", model.path), inputs)


def external(config: Train) -> Mapping[str, str]:
    """Digest of the guide's files, read from outside the store."""
    return model_digests(guide=config.guide)


STAGE = Stage("train", "model", run, external, accelerated=True)

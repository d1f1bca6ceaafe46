"""Fine-tune the model on the mined examples."""

from __future__ import annotations

from collections.abc import Mapping

from embedlib.artifact import ArtifactRef
from embedlib.config.training import Train
from embedlib.models.resolve import model_digests
from embedlib.stages.base import Job, Stage, Summary
from embedlib.training.child import launch
from embedlib.training.options import TrainingJob


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
    training = TrainingJob(
        kind="fine-tune",
        model=str(model.path),
        out=str(job.out),
        scratch=str(job.scratch),
        seed=job.seed,
        inputs={"corpus": str(corpus.path), "queries": str(queries.path), "examples": str(examples.path)},
        options=config.identity(),
        provenance={
            "base_digest": model.digest,
            "examples_digest": examples.digest,
            "corpus_digest": corpus.digest,
        },
        checkpoint_s=config.checkpoint_s,
    )
    return launch(
        training,
        processes=config.processes,
        timeout_s=config.timeout_s,
        stall_s=config.stall_s,
        progress=job.progress,
        curve=job.curve,
    )


def external(config: Train) -> Mapping[str, str]:
    """Digest of the guide's files, read from outside the store."""
    return model_digests(guide=config.guide)


STAGE = Stage("train", "model", run, external, accelerated=True)

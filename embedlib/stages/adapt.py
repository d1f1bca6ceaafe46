"""Adapt the base model to the collection before fine-tuning."""

from __future__ import annotations

import shutil

from embedlib.artifact import MANIFEST, ArtifactRef
from embedlib.config.training import Adapt
from embedlib.stages.base import Job, Stage, Summary
from embedlib.training.child import launch
from embedlib.training.options import TrainingJob


def run(job: Job, config: Adapt, *, corpus: ArtifactRef, queries: ArtifactRef, model: ArtifactRef) -> Summary:
    """The adapted model, or the model as it came when adaptation is off or hurts on dev."""
    if config.method == "none":
        shutil.copytree(model.path, job.out, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MANIFEST))
        return {"kept": 0, "reason": "adapt.method is none"}
    training = TrainingJob(
        kind="adapt",
        model=str(model.path),
        out=str(job.out),
        scratch=str(job.scratch),
        seed=job.seed,
        inputs={"corpus": str(corpus.path), "queries": str(queries.path)},
        options=config.identity(),
        provenance={"base_digest": model.digest, "corpus_digest": corpus.digest},
    )
    return launch(
        training, timeout_s=config.timeout_s, stall_s=config.stall_s, progress=job.progress, curve=job.curve
    )


STAGE = Stage("adapt", "model", run, accelerated=True)

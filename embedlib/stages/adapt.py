"""Adapt the base model to the collection before fine-tuning."""

from __future__ import annotations

import shutil

from embedlib.artifact import MANIFEST, ArtifactRef
from embedlib.config.training import Adapt
from embedlib.stages.base import Job, Stage, Summary
from embedlib.stages.training import run_training


def run(job: Job, config: Adapt, *, corpus: ArtifactRef, queries: ArtifactRef, model: ArtifactRef) -> Summary:
    """The adapted model, or the model as it came when adaptation is off or hurts on dev."""
    if config.method == "none":
        shutil.copytree(model.path, job.out, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MANIFEST))
        return {"kept": 0, "reason": "adapt.method is none"}
    return run_training(job, "adapt", config, ("base", model.path), {"corpus": corpus, "queries": queries})


STAGE = Stage("adapt", "model", run, accelerated=True)

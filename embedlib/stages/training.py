"""How the stages that train start a process of its own for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embedlib.artifact import ArtifactRef
from embedlib.config.base import Section
from embedlib.models.resolve import model_digest
from embedlib.progress import no_curve
from embedlib.stages.base import Job, Summary
from embedlib.training.child import launch
from embedlib.training.options import JobKind, TrainingJob

#: Options that say how the process is run, not what it does; a section has some of them.
LIMITS = ("processes", "timeout_s", "stall_s")


def run_training(
    job: Job,
    kind: JobKind,
    config: Section,
    start: tuple[str, Path],
    inputs: Mapping[str, ArtifactRef],
    options: Mapping[str, Any] | None = None,
) -> Summary:
    """Train in a process of its own, which writes the artifact.

    Args:
        job: The running stage.
        kind: What is trained.
        config: The stage's options.
        start: What the model is to the result (``base``, ``teacher``, ``start``), and its folder.
        inputs: The artifacts that the training reads.
        options: The training's options where they are not those of ``config``.
    """
    role, model = start
    limits = {name: getattr(config, name) for name in LIMITS if hasattr(config, name)}
    digests = {role: model_digest(model)}
    digests |= {name: inputs[name].digest for name in ("examples", "corpus") if name in inputs}
    training = TrainingJob(
        kind=kind,
        model=str(model),
        out=str(job.out),
        scratch=str(job.scratch),
        seed=job.seed,
        inputs={name: str(ref.path) for name, ref in inputs.items()},
        options=dict(config.identity() if options is None else options),
        provenance={f"{name}_digest": digest for name, digest in digests.items()},
        checkpoint_s=getattr(config, "checkpoint_s", TrainingJob.checkpoint_s),
    )
    curve = no_curve if kind == "probe" else job.curve  # a probe is several trainings
    return launch(training, **limits, progress=job.progress, curve=curve)

"""A student in its teacher's place: smaller, faster, and proven to keep enough."""

from __future__ import annotations

from embedlib.artifact import ArtifactRef
from embedlib.config.root import Config
from flows.proof import Data, Encoded, Proof, encoded, measure
from tasks import stages
from tasks.context import RunContext


def wanted_student(
    run: RunContext, config: Config, data: Data, teacher: Encoded, why: ArtifactRef
) -> Proof | None:
    """The student for ``distil.objective`` with its proof, if one is wanted; no student has a student."""
    if config.distil.objective == "quality" or teacher.model.manifest.stage == "distil":
        return None
    return distilled(run, config, data, teacher, why)


def distilled(
    run: RunContext, config: Config, data: Data, teacher: Encoded, why: ArtifactRef | None
) -> Proof:
    """Distil a student, encode the corpus with it, and test it against its teacher, both as served."""
    model = stages.distil(run, config.distil.training, **data._asdict(), **teacher._asdict())
    student = encoded(run, config, data, model, "student")
    evaluation = measure(run, config, data, {"teacher": teacher, "student": student}, "student", why)
    decision = stages.student(
        run,
        config.distil,
        corpus=data.corpus,
        evaluation=evaluation,
        teacher=teacher.model,
        student=student.model,
    )
    return Proof(student, evaluation, decision)

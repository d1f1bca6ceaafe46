"""A student in its teacher's place: smaller, faster, and proven to keep enough."""

from __future__ import annotations

from embedlib.config.root import Config
from embedlib.store import ArtifactRef
from flows.proof import Data, Encoded, Proof, encoded, measure
from tasks import stages
from tasks.context import RunContext


def with_student(
    run: RunContext, config: Config, data: Data, teacher: Encoded, why: ArtifactRef
) -> tuple[Encoded, ArtifactRef]:
    """What goes live for ``distil.objective``, and the decision behind it.

    That is the teacher unless a student is wanted and proven; a student has no student of its own.
    """
    if config.distil.objective == "quality" or teacher.model.manifest.stage == "distil":
        return teacher, why
    proof = distilled(run, config, data, teacher, why)
    return (proof.candidate, proof.decision) if proof.verdict == "promote" else (teacher, why)


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

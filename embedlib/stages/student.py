"""Stage ``student``: whether a student takes its teacher's place, and what that buys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from itertools import islice

import numpy as np

from embedlib.artifact import ArtifactRef
from embedlib.config.training import Distil
from embedlib.contracts import Corpus, Doubles, read_rows
from embedlib.errors import DataError
from embedlib.evaluation.noninferiority import Kept, keeps
from embedlib.evaluation.records import Decision, EvaluationRecord
from embedlib.evaluation.served import served_system
from embedlib.evaluation.significance import by_question
from embedlib.evaluation.statistics import Resampling
from embedlib.models.efficiency import Cost, compare_costs
from embedlib.models.local import load_encoder
from embedlib.retrieval.plan import SearchPlan
from embedlib.stages.base import Job, Stage, Summary

#: Documents that both models encode to compare their speed.
TIMED = 512


def run(
    job: Job,
    config: Distil,
    *,
    corpus: ArtifactRef,
    evaluation: ArtifactRef,
    teacher: ArtifactRef,
    student: ArtifactRef,
) -> Summary:
    """Test a student against its teacher, both as served, and measure what each costs here."""
    record = EvaluationRecord.read(evaluation.path)
    plans = record.plans
    student_values, teacher_values = (
        values_of(evaluation, record, served_system(name, plans[name])) for name in ("student", "teacher")
    )
    resampling = Resampling(job.generator("student"), level=record.level)
    kept = keeps(student_values, teacher_values, config.share, resampling)
    models = {"teacher": teacher.path, "student": student.path}
    encoders = {name: (load_encoder(path, dtype="auto"), path) for name, path in models.items()}
    costs = compare_costs(encoders, list(islice(Corpus(corpus.path).texts(), TIMED)))
    decision = Decision(
        verdict="promote" if kept.proven else "keep",
        headline=headline(kept),
        reasons=reasons(kept, record.primary, plans, costs, len(Corpus(corpus.path))),
        advice=() if kept.proven else ("Lower distil.keep, or keep more layers with distil.layers.",),
        decided_on=record.decides,
        numbers={
            "measure": record.primary,
            "queries": kept.surplus.n,
            "student": kept.student,
            "teacher": kept.teacher,
            "kept": kept.kept,
            "share": kept.share,
            "surplus": asdict(kept.surplus),
            "costs": {name: cost._asdict() for name, cost in costs.items()},
        },
        search=plans,
        models={"teacher": teacher.digest, "student": student.digest},
    )
    decision.write(job.out)
    return {
        "verdict": decision.verdict,
        "headline": decision.headline,
        "kept": kept.kept,
        "speed": costs["student"].texts_per_s / costs["teacher"].texts_per_s,
    }


def values_of(evaluation: ArtifactRef, record: EvaluationRecord, system: str) -> Doubles:
    """A system's values of the deciding measure by question (see ``by_question``), in one order for all.

    Raises:
        DataError: There is no judged query, or the system was not evaluated.
    """
    wanted = {"system": system, "dataset": record.decides, "measure": record.primary}
    rows = read_rows(evaluation.file("scores.parquet"))
    found = {r["query_id"]: r["value"] for r in rows if all(r[n] == v for n, v in wanted.items())}
    if not found:
        raise DataError(
            f"no value of {system} to judge a student by",
            where=str(evaluation.path),
            expected="judged test queries",
            remedy="give labels, or documents from which queries can be derived",
        )
    judged = read_rows(evaluation.file("judged.parquet"))
    texts = {r["query_id"]: r["query"] for r in judged if r["dataset"] == record.decides}
    ids = sorted(found)
    return by_question(np.array([found[i] for i in ids]), [texts[i] for i in ids])


def headline(kept: Kept) -> str:
    """The verdict in one sentence."""
    if kept.proven:
        return f"Serve the student: it is proven to keep more than {kept.share:.0%} of its teacher."
    return f"Keep the teacher: the student is not proven to keep {kept.share:.0%} of it."


def reasons(
    kept: Kept, measure: str, plans: Mapping[str, SearchPlan], costs: Mapping[str, Cost], documents: int
) -> tuple[str, ...]:
    """The figures as sentences: quality first, then what the student buys."""
    teacher, student = costs["teacher"], costs["student"]
    faster, d = student.texts_per_s / teacher.texts_per_s, kept.surplus
    return (
        f"As served ({plans['student']}) the student reaches {measure} {kept.student:.4f}, {kept.kept:.1%} "
        f"of its teacher's {kept.teacher:.4f} ({plans['teacher']}); above {kept.share:.0%} of it by "
        f"{d.mean:+.4f} (interval {d.ends}, {d.n} queries).",
        f"It encodes {student.texts_per_s:,.0f} documents a second here, {faster:.1f} times its teacher's "
        f"{teacher.texts_per_s:,.0f}: all {documents:,} in {documents / student.texts_per_s:,.0f} s instead "
        f"of {documents / teacher.texts_per_s:,.0f} s.",
        f"Its folder takes {student.disk_mb:.0f} MB instead of {teacher.disk_mb:.0f} MB.",
    )


STAGE = Stage("student", "decision", run, accelerated=True)

"""Stage ``report``: what happened and why, for people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embedlib.artifact import ArtifactRef
from embedlib.config.evaluation import Report, ReportOfRun
from embedlib.corpus.profile import CorpusProfile
from embedlib.corpus.splits import SplitReport
from embedlib.evaluation import report as page
from embedlib.evaluation.choice import Choice
from embedlib.evaluation.lineage import Provenance, lineage
from embedlib.evaluation.markdown import summary_markdown
from embedlib.evaluation.records import (
    Decision,
    EvaluationRecord,
    Gains,
    MergeChoice,
    TrainingCurve,
    read_guards,
    read_slices,
)
from embedlib.evaluation.report import Findings, render_report
from embedlib.fingerprint import file_sha256
from embedlib.index.info import IndexInfo
from embedlib.json_file import JsonFile
from embedlib.mining.report import MiningReport
from embedlib.pairs.report import PairsReport, ProbeResult
from embedlib.stages.base import Job, Stage, Summary

#: Input and its file that the report shows under a heading.
DETAILS: Mapping[str, tuple[str, type[JsonFile]]] = {
    "Corpus": ("corpus", CorpusProfile),
    "Queries and splits": ("queries", SplitReport),
    "Training pairs": ("pairs", PairsReport),
    "Probe of pair origins": ("probe", ProbeResult),
    "Mining": ("examples", MiningReport),
    "Training": ("candidate", Provenance),
    "Merge": ("candidate", MergeChoice),
    "Index": ("index", IndexInfo),
    "Reranker": ("reranking", Decision),
}


def run(job: Job, config: Report, /, *, evaluation: ArtifactRef, **others: ArtifactRef) -> Summary:
    """Write ``report.html`` and ``summary.md``; the decision and other artifacts are shown when given."""
    decision, record = others.get("decision"), EvaluationRecord.read(evaluation.path)
    verdict = Decision.read(decision.path) if decision else None
    if verdict and "reranking" in others:
        second = Decision.read(others["reranking"].path)
        also = " ".join([second.headline, *second.reasons])
        verdict = verdict.model_copy(update={"reasons": (*verdict.reasons, also)})
    choice = Choice.read(others["choice"].path) if "choice" in others else None
    guards = read_guards(evaluation.path)
    findings = Findings(
        title=config.title,
        command=config.command,
        decision=verdict,
        uses=int(decision.manifest.summary.get("test_set_used_before", 0)) if decision else 0,
        record=record,
        guards=guards,
        slices=read_slices(evaluation.path),
        examples=Gains.read(evaluation.path),
        choice=choice,
        curve=_curve(others.get("candidate")),
        details=_details(others),
        manifests=lineage(job.store.artifacts_dir, [*others.values(), evaluation]),
        shown=config.examples,
        records=config.records if isinstance(config, ReportOfRun) else (),
    )
    (job.out / "report.html").write_text(render_report(findings), encoding="utf-8")
    summary = summary_markdown(verdict, record, guards, choice)
    (job.out / "summary.md").write_text(summary, encoding="utf-8")
    return {"verdict": verdict.verdict, "headline": verdict.headline} if verdict else {}


def _details(inputs: Mapping[str, ArtifactRef]) -> dict[str, Any]:
    return {
        heading: kind.read(inputs[name].path).model_dump(mode="json")
        for heading, (name, kind) in DETAILS.items()
        if name in inputs and inputs[name].file(kind.FILE).is_file()
    }


def _curve(candidate: ArtifactRef | None) -> TrainingCurve | None:
    """The candidate's training; a merged candidate's is that of the tuned model in it."""
    tuned = candidate.parents.get("tuned", candidate) if candidate is not None else None
    if tuned is None or not tuned.file(TrainingCurve.FILE).is_file():
        return None
    return TrainingCurve.read(tuned.path)


def external(config: Report) -> dict[str, str]:
    """The template counts as code."""
    return {"template": file_sha256(Path(page.__file__).with_name(page.TEMPLATE))}


STAGE = Stage("report", "report", run, external)

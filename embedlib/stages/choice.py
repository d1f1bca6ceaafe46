"""Stage ``choice``: every way to search that was evaluated, beside what it costs on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from embedlib.artifact import ArtifactRef
from embedlib.config.evaluation import Evaluate
from embedlib.contracts import Corpus
from embedlib.evaluation.choice import Alternative, Choice, ranked
from embedlib.evaluation.judged import read_judged
from embedlib.evaluation.records import EvaluationRecord
from embedlib.evaluation.significance import Interval
from embedlib.fingerprint import digest
from embedlib.index.costs import Machine, ServedModel, TimedReranker, model_of
from embedlib.models.efficiency import folder_mb
from embedlib.models.hardware import cpu_flags, default_device
from embedlib.models.resolve import resolve_model
from embedlib.process import cpu_cores
from embedlib.retrieval.rerank import load_cross_encoder
from embedlib.retrieval.sparse import SparseIndex
from embedlib.stages.base import Job, Stage
from embedlib.vectors import Vectors


def run(
    job: Job, config: Evaluate, *, evaluation: ArtifactRef, student: ArtifactRef | None = None
) -> Mapping[str, Any]:
    """Measure what every system of an evaluation costs, and those of the student in another one.

    Writes ``choice.json``: the systems by quality, each with what dominates it; none where no query
    decides.
    """
    record, parents = EvaluationRecord.read(evaluation.path), evaluation.parents
    corpus = Corpus(parents["corpus"].path)
    qualities, models = qualities_of(evaluation), models_of(evaluation, config)
    if student is not None:
        models["student"] = models_of(student, config)["student"]
        qualities |= {s: value for s, value in qualities_of(student).items() if model_of(s) == "student"}
    found: list[Alternative] = []
    if record.decides is not None:
        judged = read_judged(corpus, parents["queries"].path, config.split)[record.decides]
        served = {s: value for s, value in qualities.items() if model_of(s) in {"bm25", *models}}
        sparse = SparseIndex.load(parents["sparse"].path) if "sparse" in parents else None
        machine = Machine(corpus, models, _reranker(config), job.scratch, sparse)
        found = ranked(machine.measure(served, judged.query_texts))
    Choice(primary=record.primary, alternatives=found).write(job.out)
    return {f"{row.system}.p50_ms".replace(":", "-"): row.p50_ms for row in found if row.p50_ms is not None}


def qualities_of(evaluation: ArtifactRef) -> dict[str, Interval]:
    """The primary measure of every system on the deciding queries."""
    record = EvaluationRecord.read(evaluation.path)
    systems = record.deciding.systems if record.deciding else {}
    return {system: means[record.primary] for system, means in systems.items()}


def models_of(evaluation: ArtifactRef, config: Evaluate) -> dict[str, ServedModel]:
    """The models of an evaluation, fused as they would be served."""
    plans, parents = EvaluationRecord.read(evaluation.path).plans, evaluation.parents
    found = {}
    for name in [n for n in parents if f"{n}_vectors" in parents]:
        plan = plans.get(name, config.plan)
        vectors = Vectors(parents[f"{name}_vectors"].path)
        fused = plan if plan.mode == "hybrid" else config.plan
        found[name] = ServedModel(parents[name].path, vectors, fused)
    return found


def _reranker(config: Evaluate) -> TimedReranker | None:
    if not config.rerank:
        return None
    size = folder_mb(resolve_model(config.rerank))
    return TimedReranker(load_cross_encoder(config.rerank), config.rerank_depth, size)


def external(config: Evaluate) -> dict[str, str]:
    """The machine: elsewhere the same systems are measured anew."""
    return {"machine": f"{cpu_cores()} cores, {digest(sorted(cpu_flags()))[:12]}, {default_device()}"}


STAGE = Stage("choice", "choice", run, external, accelerated=True)

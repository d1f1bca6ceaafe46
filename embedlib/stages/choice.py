"""Stage ``choice``: every way to search that was evaluated, beside what it costs on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from embedlib.artifact import ArtifactRef
from embedlib.config.evaluation import Evaluate
from embedlib.contracts import Corpus
from embedlib.evaluation.choice import Alternative, Choice, ranked
from embedlib.evaluation.judged import JudgedSet, read_judged
from embedlib.evaluation.model_on_set import DenseSystem
from embedlib.evaluation.records import Decision, EvaluationRecord
from embedlib.evaluation.served import served_system
from embedlib.evaluation.significance import Interval, bootstrap_mean
from embedlib.evaluation.statistics import Resampling
from embedlib.evaluation.two_stage import FirstStage
from embedlib.fingerprint import digest
from embedlib.index.costs import RERANK, TWO_STAGE, Machine, ServedModel, TimedReranker, model_of
from embedlib.models.efficiency import folder_mb
from embedlib.models.hardware import cpu_flags, default_device
from embedlib.models.opening import open_folder
from embedlib.models.resolve import resolve_model
from embedlib.process import cpu_cores
from embedlib.retrieval.plan import SearchPlan, TwoStagePlan
from embedlib.retrieval.rerank import load_cross_encoder
from embedlib.retrieval.sparse import SparseIndex
from embedlib.stages.base import Job, Stage, Summary
from embedlib.stages.evaluate import precision_of
from embedlib.vectors import Vectors


class OwnReranker(NamedTuple):
    """A release's reranker, how it orders which system's hits anew, and the cross-encoder as it is timed."""

    model: str
    first: SearchPlan
    second: TwoStagePlan
    timed: TimedReranker

    @property
    def system(self) -> str:
        """The name of both stages."""
        return TWO_STAGE + served_system(self.model, self.first)


def run(
    job: Job,
    config: Evaluate,
    *,
    evaluation: ArtifactRef,
    student: ArtifactRef | None = None,
    reranker: ArtifactRef | None = None,
    reranking: ArtifactRef | None = None,
) -> Summary:
    """Measure what every system of an evaluation costs, and those of the student in another one.

    ``reranker`` and ``reranking``, the decision to serve it, are one system more, behind the model that it
    was proven with, if that was evaluated. Writes ``choice.json``: the systems by quality, each with what
    dominates it; none where no query decides.
    """
    record, parents = EvaluationRecord.read(evaluation.path), evaluation.parents
    corpus = Corpus(parents["corpus"].path)
    qualities, models, plans = qualities_of(evaluation), models_of(evaluation, config), record.plans
    if student is not None:
        models["student"] = models_of(student, config)["student"]
        plans = {**plans, "student": EvaluationRecord.read(student.path).plans["student"]}
        qualities |= {s: value for s, value in qualities_of(student).items() if model_of(s) == "student"}
    found: list[Alternative] = []
    own = own_reranker(reranker, reranking, models, plans)
    if record.decides is not None:
        judged = read_judged(corpus, parents["queries"].path, config.split)[record.decides]
        served = {s: value for s, value in qualities.items() if model_of(s) in {"bm25", *models}}
        sparse = SparseIndex.load(parents["sparse"].path) if "sparse" in parents else None
        rerankers = {RERANK: _given_reranker(config)} if config.rerank else {}
        if own is not None:
            served[own.system] = _quality(job, config, own, models[own.model], corpus, judged, sparse)
            rerankers[TWO_STAGE] = own.timed
        machine = Machine(corpus, models, rerankers, job.scratch, sparse)
        found = ranked(machine.measure(served, judged.query_texts))
    second = own.second if own and found else None
    Choice(primary=record.primary, alternatives=found, two_stage=second).write(job.out)
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
        plan = plans[name]
        vectors = Vectors(parents[f"{name}_vectors"].path)
        fused = plan if plan.mode == "hybrid" else config.plan
        found[name] = ServedModel(parents[name].path, vectors, fused)
    return found


def own_reranker(
    reranker: ArtifactRef | None,
    reranking: ArtifactRef | None,
    models: Mapping[str, ServedModel],
    plans: Mapping[str, SearchPlan],
) -> OwnReranker | None:
    """The release's reranker behind the model that it was proven with, as it is served; None without one."""
    decision = Decision.read(reranking.path) if reranking is not None else None
    if reranker is None or decision is None or decision.rerank is None:
        return None
    proven_with, second = decision.models["model"], decision.rerank
    model = next((name for name, m in models.items() if m.vectors.model_digest == proven_with), None)
    if model is None:
        return None
    score = load_cross_encoder(reranker.path)
    timed = TimedReranker(score, second.depth, second.weight, folder_mb(reranker.path))
    return OwnReranker(model, plans[model], second, timed)


def _quality(
    job: Job,
    config: Evaluate,
    own: OwnReranker,
    model: ServedModel,
    corpus: Corpus,
    judged: JudgedSet,
    sparse: SparseIndex | None,
) -> Interval:
    """What both stages reach on the queries, as the decision to serve them measured it."""
    encoder = open_folder(model.folder, precision_of(model.vectors))
    system = DenseSystem(own.model, encoder, model.vectors)
    first = FirstStage(corpus, judged, system, own.first, config.primary, sparse)
    values = first.both_values(own.timed.score, own.second)
    return bootstrap_mean(values, Resampling(job.generator("two stages"), config.draws, config.level))


def _given_reranker(config: Evaluate) -> TimedReranker:
    name = config.rerank or ""
    return TimedReranker(load_cross_encoder(name), config.rerank_depth, None, folder_mb(resolve_model(name)))


def external(config: Evaluate) -> dict[str, str]:
    """The machine: elsewhere the same systems are measured anew."""
    return {"machine": f"{cpu_cores()} cores, {digest(sorted(cpu_flags()))[:12]}, {default_device()}"}


STAGE = Stage("choice", "choice", run, external, accelerated=True)

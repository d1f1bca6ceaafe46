"""Stage ``evaluate``: every system on every judged set, guards, slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from embedlib.artifact import ArtifactRef
from embedlib.config.evaluation import Evaluate
from embedlib.contracts import Corpus, read_rows
from embedlib.errors import DataError
from embedlib.evaluation.guards import (
    PACKAGES,
    GuardCache,
    GuardSet,
    default_guard,
    general_figures,
    guard_figures,
)
from embedlib.evaluation.judged import read_judged
from embedlib.evaluation.lineage import model_line
from embedlib.evaluation.measures import Run, parse_measures
from embedlib.evaluation.model_on_set import DenseSystem
from embedlib.evaluation.records import (
    GUARDS_FILE,
    Decision,
    EvaluationRecord,
    GeneralFigure,
    GuardFigure,
    MergeChoice,
    PlanChoice,
)
from embedlib.evaluation.run_evaluation import run_evaluation
from embedlib.evaluation.runs import read_run
from embedlib.evaluation.served import ChosenPlan, choose_plan
from embedlib.evaluation.statistics import Resampling
from embedlib.evaluation.systems import Options
from embedlib.fingerprint import package_version
from embedlib.json_file import write_json
from embedlib.models.opening import open_folder
from embedlib.models.options import Precision
from embedlib.models.resolve import model_digests
from embedlib.retrieval.bm25 import build_bm25
from embedlib.retrieval.rerank import load_cross_encoder
from embedlib.retrieval.sparse import SparseIndex
from embedlib.stages.base import Job, Stage, Summary
from embedlib.stages.guards import file_digests, guard_digests, guard_set
from embedlib.vectors import Vectors


def run(
    job: Job,
    config: Evaluate,
    /,
    *,
    corpus: ArtifactRef,
    queries: ArtifactRef,
    decision: ArtifactRef | None = None,
    sparse: ArtifactRef | None = None,
    **models: ArtifactRef,
) -> Summary:
    """Evaluate the named models: ``NAME`` (model) with ``NAME_vectors`` (the corpus by it).

    With the names ``base`` and ``candidate`` (and ``incumbent``) the result is one that ``decide`` can
    judge, each model alone and as it would be served; where the options name a baseline, any other
    names are compared with it. ``decision`` is the live release's: it says how the models that it knows
    are searched, while the others' plans are chosen on dev. ``sparse`` may be a third ranking of a plan.
    """
    parse_measures(config.measures)
    documents = Corpus(corpus.path)
    dimensions = sorted({*config.dimensions, *trained_dimensions(models)})
    ordered = {name: models[name] for name in sorted(models, key=lambda name: name != config.baseline)}
    systems = dense_systems(ordered, documents, dimensions)
    sets = read_judged(documents, queries.path, config.split)
    if not sets and config.baseline:
        raise DataError(
            f"no judged query in the {config.split} split",
            where=str(queries.path),
            remedy="give judgements (qrels), or evaluate another split",
        )
    terms = SparseIndex.load(sparse.path) if sparse is not None else None
    known = Decision.read(decision.path) if decision is not None else None
    chosen = _plans(job, config, documents, queries, systems, known, models, terms)
    options = _options(job, config, documents, queries, chosen, terms)
    resampling = Resampling(job.generator("evaluate"), config.draws, config.level)
    record = run_evaluation(
        documents, sets, systems, options, config.primary, resampling, job.out, progress=job.progress
    )
    figures, general = _guards(job, config, documents, systems, models)
    why = {name: PlanChoice(why=choice.reason, dev=choice.dev) for name, choice in chosen.items()}
    digests = {name: ref.digest for name, ref in models.items() if ref.kind == "model"}
    about = {"models": digests, "merged": merged(models), "general": general, "chosen": why}
    record = record.model_copy(update=about)
    record.write(job.out)
    write_json(job.out / GUARDS_FILE, figures)
    guards = {f"guard.{f.name}".replace("/", "-"): f.difference.mean for f in figures}
    return {**summary_of(record), **guards}


def _plans(
    job: Job,
    config: Evaluate,
    corpus: Corpus,
    queries: ArtifactRef,
    systems: Sequence[DenseSystem],
    decision: Decision | None,
    models: Mapping[str, ArtifactRef],
    sparse: SparseIndex | None,
) -> dict[str, ChosenPlan]:
    """How each model is or would be served; what is live as its release says, never chosen anew."""
    choosing = config.search == "auto" and config.split != "dev"
    dev = read_judged(corpus, queries.path, "dev").get("human") if choosing else None
    bm25 = cache(lambda: build_bm25(corpus.texts()))
    found = {}
    for system in systems:
        recorded = decision.plan_of(models[system.name].digest) if decision is not None else None
        if recorded is not None:
            recorded = recorded if sparse is not None else recorded.without_sparse()
            found[system.name] = ChosenPlan(recorded, "as the live release's decision says", {})
        elif config.search != "auto" or not config.hybrid:
            found[system.name] = ChosenPlan(config.plan, "as configured", {})
        else:
            found[system.name] = choose_plan(
                corpus,
                dev,
                system,
                config.plan,
                bm25=bm25,
                measure=config.primary,
                rng=job.generator("plan"),
                sparse=sparse,
            )
    return found


def _options(
    job: Job,
    config: Evaluate,
    corpus: Corpus,
    queries: ArtifactRef,
    chosen: Mapping[str, ChosenPlan],
    sparse: SparseIndex | None,
) -> Options:
    """What is retrieved and measured; what is served is, even where the options leave it out."""
    (job.out / "runs").mkdir()
    modes = {choice.plan.mode for choice in chosen.values()}
    return Options(
        measures=config.measures,
        depth=config.depth,
        bm25=config.bm25 or bool(modes - {"dense"}),
        hybrid=config.hybrid or "hybrid" in modes,
        sparse=sparse,
        reranker=(load_cross_encoder(config.rerank), config.rerank_depth) if config.rerank else None,
        runs=_given_runs(config.runs, queries.path, corpus),
        folder=job.out / "runs",
        split=config.split,
        plans={name: choice.plan for name, choice in chosen.items()},
        fusion=config.plan.model_copy(update={"mode": "hybrid"}),
    )


def trained_dimensions(models: Mapping[str, ArtifactRef]) -> set[int]:
    """The shorter vectors (Matryoshka) that any of the models was trained to give."""
    line = (ref for model in models.values() if model.kind == "model" for ref in model_line(model))
    return {d for ref in line for d in ref.manifest.config.get("matryoshka", ())}


def merged(models: Mapping[str, ArtifactRef]) -> bool:
    """Whether the candidate is already an interpolation with the base."""
    return "candidate" in models and models["candidate"].file(MergeChoice.FILE).is_file()


def guard_sets(config: Evaluate, corpus: Corpus) -> list[GuardSet]:
    """The configured guards with their data.

    Raises:
        DataError: A guard's files or package are missing, or its data are bad.
    """
    if config.guards == "default":
        guard = default_guard(corpus, config.default_margin)
        return [guard] if guard is not None else []
    return [guard_set(g) for g in config.guards]


def _guards(
    job: Job,
    config: Evaluate,
    corpus: Corpus,
    systems: Sequence[DenseSystem],
    models: Mapping[str, ArtifactRef],
) -> tuple[list[GuardFigure], list[GeneralFigure]]:
    """Guards of the candidate against the base, and what every model reaches on the guard sets."""
    if "candidate" not in models:
        return [], []
    names = [s.name for s in systems]
    identities = {
        n: f"{models[n].digest} {precision_of(Vectors(models[f'{n}_vectors'].path))}" for n in names
    }
    values_of = GuardCache(job.store, {s.name: s.encoder for s in systems}, identities)
    sets = guard_sets(config, corpus)
    resampling = Resampling(job.generator("guards"), config.draws, config.level)
    figures = guard_figures(sets, values_of, resampling)
    return figures, general_figures(sets, values_of, names, resampling)


def precision_of(vectors: Vectors) -> Precision:
    """The arithmetic that made the vectors; queries are encoded in the same."""
    return "bf16" if vectors.info.encoding.get("precision") == "bf16" else "fp32"


def dense_systems(
    models: Mapping[str, ArtifactRef], corpus: Corpus, dimensions: Sequence[int]
) -> list[DenseSystem]:
    """Each model with its vectors, the encoder in the precision that made them.

    Raises:
        MismatchError: Vectors were made by another model.
        DataError: Vectors are missing, or of another corpus.
    """
    systems = []
    for name in [n for n in models if not n.endswith("_vectors")]:
        if f"{name}_vectors" not in models:
            raise DataError(f"model {name!r} has no vectors", expected=f"an input {name}_vectors")
        ref, vectors = models[name], Vectors(models[f"{name}_vectors"].path)
        vectors.require_model(ref.digest)
        if len(vectors) != len(corpus):
            raise DataError(
                f"the vectors of {name!r} are of another corpus",
                expected=f"{len(corpus)} vectors",
                found=str(len(vectors)),
                remedy="encode this corpus",
            )
        encoder = open_folder(ref.path, precision_of(vectors))
        systems.append(DenseSystem(name, encoder, vectors, tuple(dimensions)))
    if not systems:
        raise DataError(
            "no model to evaluate", expected="base and base_vectors, or any NAME and NAME_vectors"
        )
    return systems


def summary_of(record: EvaluationRecord) -> dict[str, Any]:
    """Flat figures of the deciding set for the UI and for tracking (``@`` written as ``_at_``)."""
    summary: dict[str, Any] = {"decides": record.decides}
    if record.deciding is None:
        return summary
    summary["queries"] = record.deciding.answerable
    for system, means in record.deciding.systems.items():
        for measure, interval in means.items():
            summary[f"{system}.{measure}".replace("@", "_at_").replace(":", "-")] = interval.mean
    return summary


def _given_runs(paths: Sequence[Path], queries: Path, corpus: Corpus) -> dict[str, Run]:
    if not paths:
        return {}
    known = {row["query_id"] for row in read_rows(queries / "queries.parquet", ["query_id"])}
    documents = {*corpus.ids, *corpus.chunks}
    return {path.stem: read_run(path, queries=known, documents=documents) for path in paths}


def external(config: Evaluate) -> dict[str, str]:
    """Digests of what is given by path, and the versions of the packages behind the default guard.

    Raises:
        DataError: A file is missing.
    """
    if config.guards == "default":
        guards = {f"package {name}": package_version(name) for name in PACKAGES}
    else:
        guards = guard_digests(config.guards)
    return {**guards, **file_digests(config.runs), **model_digests(rerank=config.rerank)}


STAGE = Stage("evaluate", "evaluation", run, external)

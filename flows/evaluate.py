"""Any models on any labelled data, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from prefect import flow

from embedlib.artifact import ArtifactRef
from embedlib.config.evaluation import General
from embedlib.config.evaluation_inputs import evaluation_inputs, short_name
from embedlib.config.models import Sparse
from embedlib.config.root import Config
from embedlib.stages.preflight import EVALUATE, preflight
from flows.context import flow_context
from flows.outcome import run_name
from flows.records import show_records
from flows.steps import OF_MODEL
from tasks import stages
from tasks.context import RunContext
from tasks.encode import encode
from tasks.release import live_release

#: Names that an evaluation has for something else: a model of such a name gets a number.
RESERVED = (
    *("bm25", "live", "teacher", "corpus", "queries", "decision", "sparse"),
    *("run", "stage", "config", "label", "store", "seed", "progress", "curve", "during", "job"),
)


class CollectionResult(NamedTuple):
    """What was reached on one labelled collection, what each way to search costs, and the page of both."""

    evaluation: ArtifactRef
    choice: ArtifactRef
    report: ArtifactRef


class Evaluations(NamedTuple):
    """What was found on each labelled collection by its name, and what was reached on general sets."""

    collections: dict[str, CollectionResult]
    general: ArtifactRef | None


@flow(name="evaluate", flow_run_name=run_name, persist_result=False)
def evaluate(
    config: Config,
    models: list[str] | None = None,
    data: list[Path] | None = None,
    mteb: list[str] | None = None,
    runs: dict[str, list[Path]] | None = None,
) -> Evaluations:
    """Measure models on labelled collections and general sets; trains and publishes nothing.

    Args:
        config: Measures, guards, and the documents where ``data`` names none.
        models: Names or folders; none = the configured base model, and what is live where that is another
            one. The first is the baseline.
        data: Labelled collections, and similarity sets (TSV with sentence1, sentence2, score).
        mteb: MTEB tasks by name; they need the optional package.
        runs: TREC run files by the name of the collection that they are of.
    """
    given = evaluation_inputs(config, data or (), mteb or (), runs)
    for options in given.collections.values() or [config]:
        preflight(options, EVALUATE, models=models or [])
    with flow_context(config, "evaluate") as run:
        named: dict[str, ArtifactRef] = {}
        for model in models or [config.model.name]:
            name = short_name(model, [*named, *RESERVED])
            named[name] = stages.pin(run, config.model.model_copy(update={"name": model}), name)
        live = live_release(run, optional=True) or {}
        named |= {} if models else live_models(live, named)
        if live and live["model"].digest not in {ref.digest for ref in named.values()}:
            live = {}
        baseline = next(iter(named))
        general = General(
            baseline=baseline,
            sets=given.sets,
            guards=config.evaluate.chosen_guards,
            level=config.evaluate.level,
            draws=config.evaluate.draws,
        )
        measured = Evaluations(
            general=stages.general(run, general, **named) if general.sets or general.guards else None,
            collections={
                name: on_collection(run, options, named, live, name)
                for name, options in given.collections.items()
            },
        )
        show_records(run)
    return measured


def on_collection(
    run: RunContext,
    config: Config,
    models: Mapping[str, ArtifactRef],
    live: Mapping[str, ArtifactRef],
    name: str,
) -> CollectionResult:
    """Every model on one labelled collection, one that is ``live`` as served; guards are judged apart."""
    corpus = stages.ingest(run, config.ingest, name)
    queries = stages.split(run, config.split, name, corpus=corpus)
    vectors = {
        f"{model}_vectors": encode(run, config, label=f"{model} {name}", corpus=corpus, model=ref)
        for model, ref in models.items()
    }
    options = config.evaluate.model_copy(update={"guards": (), "baseline": next(iter(models))})
    data = {"corpus": corpus, "queries": queries}
    found = stages.evaluate(
        run,
        options,
        name,
        **data,
        **models,
        **vectors,
        decision=live.get("decision"),
        sparse=sparse_leg(run, config, live, corpus, name),
    )
    second = {part: live.get(part) for part in OF_MODEL}
    choice = stages.choice(run, options, name, evaluation=found, **second)
    report = stages.report(run, config.report, name, evaluation=found, **data, choice=choice)
    return CollectionResult(found, choice, report)


def sparse_leg(
    run: RunContext, config: Config, release: Mapping[str, ArtifactRef], corpus: ArtifactRef, name: str
) -> ArtifactRef | None:
    """The collection by the configured sparse encoder; where none is, by the one that the release has."""
    served = release["index"].parents.get("sparse") if release else None
    model = config.sparse.model or (served.manifest.config["model"] if served else None)
    return stages.sparse(run, Sparse(model=model), name, corpus=corpus)


def live_models(
    release: Mapping[str, ArtifactRef], others: Mapping[str, ArtifactRef]
) -> dict[str, ArtifactRef]:
    """The live release's model and, of a student, its teacher's, unless they are among the others."""
    if not release:
        return {}
    live = release["model"]
    found = {"live": live}
    if live.manifest.stage == "distil" and live.parents["model"].exists:
        found["teacher"] = live.parents["model"]
    known = {ref.digest for ref in others.values()}
    return {name: ref for name, ref in found.items() if ref.digest not in known}

"""The whole table: from documents to a proven model and a live index."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from prefect import flow
from prefect.client.schemas.objects import State

from embedlib import escape
from embedlib.artifact import ArtifactRef
from embedlib.config.root import Config
from embedlib.corpus.marks import MARKS
from embedlib.corpus.splits import SplitReport
from embedlib.stages.decide import foreign_languages
from embedlib.stages.preflight import LIFECYCLE
from flows.approval import Approval, approval, require_somebody
from flows.context import checked_config, flow_context
from flows.outcome import DEFAULTS, RunOutcome, Trigger, as_json, run_name
from flows.records import listed, prefect_record, records, show_records
from flows.steps import (
    Data,
    Encoded,
    Proof,
    caught_up,
    encoded,
    indexed,
    kept_reranker,
    lessons,
    measure,
    proven_parts,
    reranked,
    tune,
    wanted_student,
)
from flows.vector_store import completed, follow
from tasks import stages
from tasks.context import RunContext
from tasks.monitor import note_outcome
from tasks.release import check_documents, emit_event, live_release, publish, register

#: Its warnings are shown at the terminal too; those of Prefect's own loggers are not.
logger = logging.getLogger("embedlib.lifecycle")


class Rivals(NamedTuple):
    """What a candidate has to beat: what is live as its decisions have it served, and the base."""

    base: Encoded
    incumbent: Encoded
    decision: ArtifactRef | None
    reranking: ArtifactRef | None

    def decision_against(self, candidate: Encoded) -> ArtifactRef | None:
        """The live decision; for a candidate that is live already the one that it had to beat then."""
        if self.decision is None or not candidate.same_model(self.incumbent):
            return self.decision
        return self.decision.parents["evaluation"].parents.get("decision")

    def reranking_against(self, candidate: Encoded) -> ArtifactRef | None:
        """The decision on the live reranker; for a candidate that is live, on the one before, if any."""
        if self.decision is None or not candidate.same_model(self.incumbent):
            return self.reranking
        return self.decision.parents.get("reranking")


@flow(name="lifecycle", flow_run_name=run_name, persist_result=False)
def lifecycle(
    documents: Path | None = None,
    labels: Path | None = None,
    workspace: Path | None = None,
    config: Config = DEFAULTS,
    event: Trigger | None = None,
) -> State[RunOutcome]:
    """Ingest, publish the base, make training data, tune, prove, decide, index, publish.

    Args:
        documents: File or folder of the documents; without any, those of the live release.
        labels: Folder in BEIR's layout or click log, where labels do not lie beside the documents.
        workspace: Folder of artifacts and releases.
        config: Every other option; the live release's count where no documents are named.
        event: What triggered this run.
    """
    config = checked_config(config.of(documents, labels, workspace), LIFECYCLE, event)
    require_somebody(config)
    with flow_context(config, "lifecycle", event) as run:
        data, base, live = prepare(run, config, event)
        incumbent = encoded(run, config, data, live["model"], "incumbent")
        start = incumbent if config.train.start == "incumbent" else base

        can_test = SplitReport.read(data.queries.path).can_test  # else nothing could be proven
        material = lessons(run, config, data, start) if can_test else {}
        rivals = Rivals(base, incumbent, live.get("decision"), live.get("reranking"))
        proof = proven(run, config, data, rivals, start, material.get("examples"))
        is_new = not proof.candidate.same_model(incumbent)
        consent = approval(config, proof.decision) if proof.verdict == "promote" and is_new else None
        promoted = consent is not None and consent.approve
        chosen = proof.candidate if promoted else incumbent
        why = proof.decision if promoted else live.get("decision", proof.decision)

        student = wanted_student(run, config, data, chosen, why) if can_test else None
        if student is not None and student.verdict == "promote":
            chosen, why = student.candidate, student.decision
        second = kept_reranker(live, chosen)
        if config.rerank.start is not None and "examples" in material:
            second = reranked(run, config, data, base, chosen, material, why)

        newest, chosen = caught_up(run, config, data, chosen, live)
        index = indexed(run, config, newest, chosen)
        kept = proven_parts(second)
        choice = stages.choice(
            run,
            config.served_evaluation,
            evaluation=proof.evaluation,
            student=student.evaluation if student else None,
            reranker=kept.get("reranker"),
            reranking=kept.get("reranking"),
        )
        shown = {**data._asdict(), **material, **second, "choice": choice, "index": index}
        report = reported(run, config, proof, shown)
        parts = {"corpus": newest.corpus, **chosen._asdict(), "index": index, "decision": why, **kept}
        follows = live if newest == data else {**live, "corpus": newest.corpus}
        told = {"event": as_json(event), "approval": as_json(consent)}
        release = publish(run, config, parts, replaces=follows, **told)
        register(run, config, chosen.model)
        outcome = RunOutcome.of(proof.decision, report, release, promoted, second.get("reranking"))
        conclude(run, event, outcome, consent)
        left = follow(run, config)
    return completed(outcome.model_copy(update={"left": left}), left, outcome.headline)


def prepare(
    run: RunContext, config: Config, event: Trigger | None
) -> tuple[Data, Encoded, dict[str, ArtifactRef]]:
    """The data, the base, and what is live: the base itself where nothing was."""
    live = live_release(run, optional=True)
    model = stages.pin(run, config.model)
    corpus = stages.ingest(run, config.ingest)
    check_documents(config.publish, live, corpus)
    for advice in foreign_languages(corpus, model):
        logger.warning(advice)
    labelled = config.split.with_marks_of_workspace(run.workspace / MARKS)
    data = Data(corpus, stages.split(run, labelled, corpus=corpus))
    base = encoded(run, config, data, model, "base")
    return data, base, live or go_live(run, config, data, base, event)


def proven(
    run: RunContext, config: Config, data: Data, rivals: Rivals, start: Encoded, examples: ArtifactRef | None
) -> Proof:
    """Tune and prove; where only a guard fails, merge with the model it was tuned from and prove that."""
    tuned = tune(run, config, data, start, examples)
    proof = prove(run, config, data, rivals, tuned, examples, "tuned")
    if proof.verdict != "merge-and-retest":
        return proof
    merged = stages.merge(run, config.merge, **data._asdict(), base=start.model, tuned=tuned)
    return prove(run, config, data, rivals, merged, examples, "merged")


def reported(run: RunContext, config: Config, proof: Proof, shown: Mapping[str, ArtifactRef]) -> ArtifactRef:
    """The page on what was proven, and on all that led there."""
    return stages.report(
        run,
        config.report.of_run(records(run)),
        evaluation=proof.evaluation,
        decision=proof.decision,
        candidate=proof.candidate.model,
        **shown,
    )


def conclude(run: RunContext, event: Trigger | None, outcome: RunOutcome, consent: Approval | None) -> None:
    """Tell the world, the tracking run and the monitor's history what came of the run, and on whose word."""
    state = "published" if outcome.promoted else "kept"
    word = as_json(consent)
    emit_event(run, f"embedlib.release.{state}", {**outcome.model_dump(mode="json"), "approval": word})
    run.tracker.figures("approval", word or {})
    reasons = [f"- {escape.markdown(reason)}" for reason in outcome.reasons]
    where = listed({"Prefect run": prefect_record(), "report": str(outcome.report)})
    text = "\n".join([f"**{escape.markdown(outcome.headline)}**\n", *reasons, "", where])
    run.tracker.describe(text, {"verdict": outcome.verdict, "summary": outcome.headline})
    show_records(run, outcome.report)
    detail = outcome.verdict
    if consent is not None and not consent.approve:
        detail += f", declined by {consent.by}: {consent.note}"
    note_outcome(run.workspace, as_json(event), state, detail=detail)


def prove(
    run: RunContext,
    config: Config,
    data: Data,
    rivals: Rivals,
    model: ArtifactRef,
    examples: ArtifactRef | None,
    label: str,
) -> Proof:
    """Encode the corpus with a candidate, evaluate it beside the others, decide."""
    candidate = encoded(run, config, data, model, label)
    systems = {"base": rivals.base, "candidate": candidate}
    if not any(rivals.incumbent.same_model(other) for other in systems.values()):
        systems["incumbent"] = rivals.incumbent
    evaluation = measure(run, config, data, systems, label, rivals.decision_against(candidate))
    decision = stages.decide(
        run,
        config.decide,
        label,
        evaluation=evaluation,
        examples=examples,
        reranking=rivals.reranking_against(candidate),
        corpus=data.corpus,
        base=rivals.base.model,
    )
    return Proof(candidate, evaluation, decision)


def go_live(
    run: RunContext, config: Config, data: Data, base: Encoded, event: Trigger | None
) -> dict[str, ArtifactRef]:
    """Publish the base as best served: a search within minutes, and what a tuned model has to beat."""
    evaluation = measure(run, config, data, {"base": base}, "base", None)
    about = {"evaluation": evaluation, "corpus": data.corpus, "base": base.model}
    decision = stages.decide(run, config.decide, "base", **about)
    index = indexed(run, config, data, base, "base")
    parts = {"corpus": data.corpus, **base._asdict(), "index": index, "decision": decision}
    release = publish(run, config, parts, event=as_json(event))
    register(run, config, base.model)
    emit_event(run, "embedlib.release.first", {"release": release.number, "search": str(release.search)})
    follow(run, config, last=False)
    return parts

"""A student of the live release's model; it goes live if it is proven to keep enough."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State

from embedlib.config.root import Config
from embedlib.errors import ReleaseError
from embedlib.stages.preflight import DISTIL
from flows.context import checked, flow_context
from flows.outcome import Trigger, as_json, run_name
from flows.records import show_records
from flows.steps import OF_MODEL, Data, Encoded, caught_up, distilled, indexed
from flows.vector_store import completed, follow
from tasks.release import emit_event, publish, register, require_live


@flow(name="distil", flow_run_name=run_name, persist_result=False)
def distil(config: Config, event: Trigger | None = None) -> State[str]:
    """Distil, prove, publish; returns the fingerprint of the decision.

    Args:
        config: Where it names no documents, the live release's counts, with what is given here on top.
        event: What triggered this run.

    Raises:
        ReleaseError: Nothing has been published yet, or what is live is a student already.
    """
    config = checked(config, DISTIL, event)
    with flow_context(config, "distil", event) as run:
        live = require_live(run, "to distil")
        if live["model"].manifest.stage == "distil":
            raise ReleaseError(
                "what is live is a student already",
                where=str(run.workspace),
                remedy="roll back to the teacher's release: `embedlib rollback`",
            )
        data = Data(live["corpus"], live["queries"])
        teacher = Encoded(live["model"], live["vectors"])
        proof = distilled(run, config, data, teacher, live.get("decision"))
        left = ""
        if proof.verdict == "promote":
            data, student = caught_up(run, config, data, proof.candidate, live)
            index = indexed(run, config, data, student, "student")
            kept = {name: ref for name, ref in live.items() if name not in OF_MODEL}
            kept["corpus"] = live["corpus"] = data.corpus
            parts = {**kept, **student._asdict(), "index": index, "decision": proof.decision}
            release = publish(run, config, parts, replaces=live, event=as_json(event))
            register(run, config, proof.candidate.model)
            emit_event(run, "embedlib.release.published", {"release": release.number, "verdict": "student"})
            left = follow(run, config)
        show_records(run)
    return completed(proof.decision.fingerprint, left)

"""A reranker of the live release's first hits; it goes live if the answer is proven better by it."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State

from embedlib.config.root import Config
from embedlib.stages.preflight import RERANK
from flows.context import checked, flow_context
from flows.outcome import Trigger, as_json, run_name
from flows.records import show_records
from flows.steps import Data, Encoded, encoded, lessons, proven_parts, reranked
from flows.vector_store import completed, follow
from tasks import stages
from tasks.release import emit_event, publish, require_live


@flow(name="rerank", flow_run_name=run_name, persist_result=False)
def rerank(config: Config, event: Trigger | None = None) -> State[str]:
    """Mine, train, prove, publish; returns the fingerprint of the decision.

    Args:
        config: Where it names no documents, the live release's counts, with what is given here on top.
        event: What triggered this run.

    Raises:
        ReleaseError: Nothing has been published yet.
    """
    config = checked(config, RERANK, event)
    with flow_context(config, "rerank", event) as run:
        live = require_live(run, "whose hits a reranker could order")
        data = Data(live["corpus"], live["queries"])
        base = encoded(run, config, data, stages.pin(run, config.model), "base")
        served = Encoded(live["model"], live["vectors"])
        second = reranked(
            run, config, data, base, served, lessons(run, config, data, base), live.get("decision")
        )
        left = ""
        if parts := proven_parts(second):
            now = require_live(run, "whose hits a reranker could order")  # documents may be newer by now
            live["corpus"] = now["corpus"]
            release = publish(run, config, {**now, **parts}, replaces=live, event=as_json(event))
            emit_event(run, "embedlib.release.published", {"release": release.number, "verdict": "reranker"})
            left = follow(run, config)
        show_records(run)
    return completed(second["reranking"].fingerprint, left)

"""Documents changed, the model did not: encode what is new, rebuild the index, swap."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State

from embedlib.config.root import Config
from embedlib.stages.preflight import REFRESH
from flows.context import checked, flow_context
from flows.outcome import Trigger, as_json, run_name
from flows.records import show_records
from flows.steps import Data, encoded, indexed
from flows.vector_store import completed, follow
from tasks import stages
from tasks.monitor import note_outcome
from tasks.release import check_documents, emit_event, publish, require_live


@flow(name="refresh", flow_run_name=run_name, persist_result=False)
def refresh(config: Config, event: Trigger | None = None) -> State[int]:
    """Ingest, encode changed documents only, index, publish; returns the live release's number.

    Args:
        config: Where it names no documents, the live release's counts, with what is given here on top.
        event: What triggered this run.

    Raises:
        ReleaseError: Nothing has been published yet.
    """
    config = checked(config, REFRESH, event)
    with flow_context(config, "refresh", event) as run:
        live = require_live(run, "to refresh")
        corpus = stages.ingest(run, config.ingest)
        check_documents(config.publish, live, corpus)
        now = encoded(run, config, Data(corpus, live["queries"]), live["model"], "")
        index = indexed(run, config, Data(corpus, live["queries"]), now)
        parts = {**live, "corpus": corpus, "vectors": now.vectors, "index": index}
        release = publish(run, config, parts, replaces=live, event=as_json(event))
        emit_event(run, "embedlib.release.refreshed", {"release": release.number})
        show_records(run)
        note_outcome(run.workspace, as_json(event), "published", detail=f"release {release.number}")
        left = follow(run, config)
    return completed(release.number, left)

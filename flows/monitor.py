"""The live release watched: what it sees becomes events, and lost events are emitted again."""

from __future__ import annotations

from typing import Any

from prefect import flow

from embedlib.config.root import Config
from embedlib.stages.preflight import MONITOR
from flows.context import checked, flow_context
from flows.outcome import run_name
from flows.records import show_records
from tasks import stages
from tasks.monitor import check_release, emit_alerts
from tasks.release import live_release


@flow(name="monitor", flow_run_name=run_name, persist_result=False)
def monitor(config: Config) -> dict[str, Any]:
    """Canary queries, fresh labels, corpus and query drift, index health, age.

    Args:
        config: Where it names no documents, the live release's counts, with what is given here on top.
    """
    config = checked(config, MONITOR)
    with flow_context(config, "monitor") as run:
        corpus = stages.ingest(run, config.ingest) if live_release(run, optional=True) else None
        report = check_release(run, config.monitor, corpus)
        emit_alerts(report)
        show_records(run)
    return report.summary()

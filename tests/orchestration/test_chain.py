"""From an event to a retraining to the event of its outcome; approval; secrets nowhere."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest
from orchestra import PATIENCE, Orchestra, wait_for

from embedlib.index.catalog import current
from embedlib.monitoring.history import Event, History

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900 * PATIENCE),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
SECRET = "s3cr3t-cffe71d0"


def events(orchestra, prefix: str) -> list[dict]:
    """Events of that name the server has, oldest first."""
    body = {"filter": {"event": {"prefix": [prefix]}, "occurred": {"since": "2020-01-01T00:00:00Z"}}}
    return sorted(orchestra.call("POST", "/events/filter", **body)["events"], key=lambda e: e["occurred"])


def degraded(root: Path) -> Event:
    """The event that the monitor would raise about the live release."""
    release = current(root)
    return Event(
        at=datetime.now(UTC), id="event-1", name="embedlib.retrieval.degraded", release=release.number,
        resource=f"embedlib.workspace.{root.name}", model=release.parts["model"].digest,
        evidence={"canaries": {"value": 0.4, "threshold": 0.8, "lost": ["a query"]}},
    )  # fmt: skip


def test_an_event_triggers_a_retraining_whose_outcome_is_an_event(orchestra, settings, released):
    orchestra.deploy(settings)
    orchestra.start_worker()
    event = degraded(released)
    History(released).append(event)
    orchestra.emit(event.name, event.resource, event.payload())
    (run,) = wait_for(lambda: orchestra.triggered("lifecycle"), 60, "a triggered lifecycle")
    assert run["parameters"]["event"]["event"] == event.name
    assert run["parameters"]["event"]["evidence"]["id"] == event.id
    assert orchestra.wait(run["id"], timeout_s=400)["type"] == "COMPLETED"
    (told,) = wait_for(lambda: events(orchestra, "embedlib.release."), 30, "the outcome's event")
    state = told["event"].rpartition(".")[2]
    assert state in ("published", "kept")
    assert told["payload"]["promoted"] == (state == "published")
    outcomes = History(released).read().outcomes
    assert [o.state for o in outcomes] == ["started", state]
    assert {o.event_id for o in outcomes} == {event.id}
    if state == "published":
        live = current(released)
        assert live.event["evidence"]["id"] == event.id
        assert live.approval["by"] == "gate"


def test_a_failed_retraining_is_noted_so_that_the_event_is_not_lost(orchestra, settings, released):
    settings["ingest"]["source"]["path"] = "/nowhere"
    orchestra.deploy(settings)
    orchestra.start_worker()
    event = degraded(released)
    orchestra.emit(event.name, event.resource, event.payload())
    (run,) = wait_for(lambda: orchestra.triggered("lifecycle"), 60, "a triggered lifecycle")
    assert orchestra.wait(run["id"], timeout_s=120)["type"] == "FAILED"
    (noted,) = History(released).read().outcomes
    assert (noted.event_id, noted.state) == (event.id, "failed")
    assert "/nowhere" in noted.detail


def test_a_planted_secret_is_found_nowhere(tmp_path, settings, material):
    """A database URL with a password-like token: in parameters, logs, artifacts, MLflow, the store."""
    table = sqlite3.connect(tmp_path / "documents.db")
    table.execute("create table documents (id text, title text, body text)")
    rows = [json.loads(line) for line in (material / "data" / "corpus.jsonl").read_text().splitlines()]
    table.executemany("insert into documents values (:_id, :title, :text)", rows)
    table.commit()
    table.close()
    url = f"sqlite+pysqlite:///file:{tmp_path}/documents.db?uri=true&token={SECRET}"
    orchestra = Orchestra(
        tmp_path / "orchestra", EMBEDLIB_SQL_URL=url, MLFLOW_TRACKING_PASSWORD=SECRET, OPENAI_API_KEY=SECRET
    )
    try:
        orchestra.start_server()
        query = "select id, title, body from documents order by id"
        settings["ingest"] = {"source": {"type": "sql", "query": query}}
        orchestra.deploy(settings)
        orchestra.start_worker()
        run_id = orchestra.run("lifecycle")
        assert orchestra.wait(run_id, timeout_s=400)["type"] == "COMPLETED"
        broken = {**settings, "ingest": {"source": {"type": "sql", "query": "select nothing from nowhere"}}}
        failed = orchestra.run("lifecycle", config=broken)
        assert orchestra.wait(failed, timeout_s=120)["type"] == "FAILED"
        assert "nowhere" in "\n".join(orchestra.logs(failed))
    finally:
        orchestra.close()
    needle = SECRET.encode()
    where = [p for p in tmp_path.rglob("*") if p.is_file() and not p.is_symlink()]
    assert len(where) > 50
    assert [p for p in where if needle in p.read_bytes()] == []

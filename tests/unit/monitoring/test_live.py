"""The monitor on a real release: from the first look to an event, and what became of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from published import publish_base, small_config, write_beir
from records import edit_record

from embedlib.index.catalog import current
from embedlib.index.search import Searcher
from embedlib.monitoring.history import Check, EventOutcome, History, Signal
from embedlib.monitoring.live import open_live, read_proof
from embedlib.monitoring.report import acknowledge, check_live, reconcile, sparkline, trends
from embedlib.monitoring.triggers import QUERIES_DRIFTED, RETRIEVAL_DEGRADED, MonitorThresholds, due_events
from embedlib.stages import ingest
from embedlib.stages.base import run_stage
from embedlib.store import Store

NOW = datetime.now(UTC) + timedelta(minutes=1)
HOUR = timedelta(hours=1)


def test_nothing_published_is_nothing_to_watch(tmp_path):
    report = check_live(tmp_path, MonitorThresholds(), now=NOW)
    assert (report.check, report.events) == (None, [])
    assert "nothing is published" in report.markdown()


def test_the_release_knows_its_queries_its_promise_and_its_files(released):
    live = open_live(released)
    assert live is not None
    assert live.queries is not None
    proof = read_proof(released, live.release)
    assert proof is not None
    assert proof.measure == "nDCG@10"
    assert {"base", "candidate", "bm25"} <= set(proof.values)
    assert live.test_score == pytest.approx(proof.of_release(live.release.search).mean())
    assert live.damage() == ""
    answers = live.search(["river stone window", "yellow"], 3)
    assert [len(a) for a in answers] == [3, 3]
    assert answers[0][0].score >= answers[0][1].score


@pytest.mark.parametrize("mode", ["dense", "hybrid"])
def test_a_release_is_watched_as_users_search_it(released, mode):
    record = released / "releases" / "1" / "release.json"
    edit_record(record, lambda values: values.update(search={"mode": mode}))
    live = open_live(released)
    proof = read_proof(released, live.release)
    system = {"dense": proof.released, "hybrid": f"hybrid:{proof.released}"}[mode]
    assert live.test_score == pytest.approx(proof.values[system].mean())
    queries = ["river stone window", "yellow"]
    expected = Searcher(released).search(queries, k=3, mode=mode)
    assert [[a.score for a in hits] for hits in live.search(queries, 3)] == [
        [hit.score for hit in hits] for hits in expected
    ]
    check_live(released, MonitorThresholds(), now=NOW)
    (kept,) = (released / "monitor").glob("baseline-*.json")
    assert f"-{mode}" in kept.stem


def test_a_healthy_release_checked_twice(released, release_template):
    fresh = run_stage(
        Store(released),
        ingest.STAGE,
        small_config(released, release_template / "data", release_template / "model").ingest,
    ).ref
    log = released / "queries.log"
    queries = [
        json.loads(line)["text"]
        for line in (release_template / "data/queries.jsonl").read_text().splitlines()
    ]
    log.write_text("\n".join(queries[1::4]))
    limits = MonitorThresholds(query_log=log)
    for hour in range(2):
        report = check_live(released, limits, now=NOW + hour * HOUR, fresh_corpus=fresh.path)
        assert report.alarming == []
        assert report.events == []
        assert report.notes == []
    assert {t.figure: len(t.values) for t in report.trends}["canaries"] == 2
    assert "| canaries | " in report.markdown()
    json.dumps(report.summary(), allow_nan=False)


def test_drift_becomes_one_event_that_is_emitted_again_until_somebody_acts(released):
    log = released / "queries.log"
    log.write_text("\n".join(f"quantum phospholipase {n} wavelet" for n in range(60)))
    limits = MonitorThresholds(query_log=log, grace_s=1800)
    assert check_live(released, limits, now=NOW).events == []
    (event,) = check_live(released, limits, now=NOW + HOUR).events
    assert event.name == QUERIES_DRIFTED
    assert event.resource == "embedlib.workspace.workspace"
    assert event.evidence["drift"]["p_value"] < 0.01
    assert reconcile(released, limits, now=NOW + 1.2 * HOUR) == []
    (again,) = check_live(released, limits, now=NOW + 2 * HOUR).events
    assert (again.id, again.attempt) == (event.id, 2)
    assert reconcile(released, limits, now=NOW + 2 * HOUR) == []
    acknowledge(released, event.id, "started", now=NOW + 2.1 * HOUR)
    acknowledge(released, event.id, "kept", now=NOW + 3 * HOUR, detail="no gain")
    assert check_live(released, limits, now=NOW + 9 * HOUR).events == []
    past = History(released).read()
    assert [e.attempt for e in past.events] == [1, 2]
    assert [o.state for o in past.outcomes] == ["started", "kept"]


def test_an_unknown_outcome_is_refused(released):
    with pytest.raises(ValueError, match="state"):
        acknowledge(released, "e", "shrugged", now=NOW)


def test_a_damaged_index_is_degraded_retrieval(released):
    index = current(released).ref(released, "index").path / "index.faiss"
    check_live(released, MonitorThresholds(), now=NOW)
    index.write_bytes(index.read_bytes()[:-20])
    check_live(released, MonitorThresholds(), now=NOW + HOUR)
    (event,) = check_live(released, MonitorThresholds(), now=NOW + 2 * HOUR).events
    assert event.name == RETRIEVAL_DEGRADED
    assert "index.faiss" in event.evidence["index"]["damage"]


def test_a_new_release_settles_a_changed_corpus(released, release_template):
    record = released / "releases" / "1" / "release.json"
    long_ago = NOW - 99 * HOUR
    edit_record(record, lambda values: values.update(created_at=long_ago.isoformat()))
    data = write_beir(released.parent / "data", documents=170)
    config = small_config(released, data, release_template / "model")
    fresh = run_stage(Store(released), ingest.STAGE, config.ingest).ref
    check_live(released, MonitorThresholds(), now=NOW - 9 * HOUR, fresh_corpus=fresh.path)
    (event,) = check_live(released, MonitorThresholds(), now=NOW - 8 * HOUR, fresh_corpus=fresh.path).events
    assert event.evidence["corpus"]["added"] == 10
    assert len(due_events(History(released).read(), [], MonitorThresholds(), now=NOW)) == 1
    publish_base(config)
    report = check_live(released, MonitorThresholds(), now=NOW, fresh_corpus=fresh.path)
    assert report.events == []
    assert report.check.release == 2


def test_a_trend_is_the_slope_a_day_of_the_least_squares_line():
    days = timedelta(days=1)
    checks = [
        Check(at=NOW + d * days, release=1, model="m", figures={"x": 2.0 * d + 1, "flat": 1.0})
        for d in range(4)
    ]
    found = {t.figure: t for t in trends(checks)}
    assert found["x"].per_day == pytest.approx(2.0)
    assert found["flat"].per_day == 0
    assert len(trends(checks, last=2)[0].values) == 2
    assert sparkline([5, 5]) == "▁▁"


def test_records_of_the_history_refuse_unknown_fields():
    with pytest.raises(ValueError, match="extra"):
        Signal(name="x", value=1, threshold=1, fired=False, colour="red")
    with pytest.raises(ValueError, match="state"):
        EventOutcome(at=NOW, event_id="e", state="lost")

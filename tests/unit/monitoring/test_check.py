"""One check of a toy release: healthy, and with each fault planted."""

from __future__ import annotations

import json
from datetime import timedelta

import numpy as np
import pytest

from embedlib.errors import CorruptArtifact
from embedlib.monitoring.check import Observer, training_queries
from embedlib.monitoring.history import History
from embedlib.monitoring.triggers import MonitorThresholds

from .conftest import T0, word, write_corpus

DAY = timedelta(days=1)


def checked(live, tmp_path, *, now=T0, fresh_corpus=None, **limits):
    observer = Observer(
        live, MonitorThresholds(**limits), History(tmp_path), now=now, rng=np.random.default_rng(0)
    )
    return observer.check(fresh_corpus)


def fired(check):
    return [s.name for s in check.signals if s.fired]


def write_log(tmp_path, queries):
    path = tmp_path / "queries.log"
    path.write_text("\n".join(queries))
    return path


def test_a_healthy_release_fires_nothing(live, tmp_path):
    log = write_log(tmp_path, training_queries(live.queries))
    check = checked(live, tmp_path, query_log=log, fresh_corpus=live.corpus)
    assert fired(check) == []
    assert {s.name for s in check.signals} == {"index", "age", "canaries", "drift", "vocabulary", "corpus"}
    assert check.notes == []
    assert check.figures["canaries"] == 1.0
    assert check.figures["documents"] == 60


def test_the_baseline_is_taken_once_and_kept_for_the_model(live, tmp_path):
    checked(live, tmp_path)
    (kept,) = (tmp_path / "monitor").glob("baseline-*.json")
    before = kept.read_bytes()
    live.broken, live.number = True, 2  # a refresh with a broken index
    check = checked(live, tmp_path)
    assert kept.read_bytes() == before
    signal = check.signal("canaries")
    assert signal.fired
    assert signal.value < 0.5 < signal.evidence["baseline"] == 1.0
    assert len(signal.evidence["lost"]) == 5


def test_another_model_gets_a_baseline_of_its_own(live, tmp_path):
    checked(live, tmp_path)
    live.broken, live.model_digest = True, "m2"
    assert fired(checked(live, tmp_path)) == []
    assert len(list((tmp_path / "monitor").glob("baseline-*.json"))) == 2


def test_a_damaged_baseline_is_a_note_with_the_remedy(live, tmp_path):
    checked(live, tmp_path)
    next((tmp_path / "monitor").glob("baseline-*.json")).write_text("{")
    (note,) = checked(live, tmp_path).notes
    assert "delete the file" in note


def test_damaged_files_fire(live, tmp_path):
    live.harm = "index.faiss: 3 bytes missing"
    check = checked(live, tmp_path)
    assert fired(check) == ["index"]
    assert check.signal("index").evidence == {"damage": live.harm}


def test_a_release_that_cannot_answer_fires_instead_of_raising(live, tmp_path):
    checked(live, tmp_path)

    def refuse(queries, k):
        raise CorruptArtifact("the index is cut short")

    live.search = refuse
    check = checked(live, tmp_path)
    assert fired(check) == ["index"]
    assert len([s for s in check.signals if s.name == "index"]) == 1


def test_age_is_remarked_on(live, tmp_path):
    assert fired(checked(live, tmp_path, now=T0 + 90 * DAY)) == []
    assert fired(checked(live, tmp_path, now=T0 + 91 * DAY)) == ["age"]


def test_a_changed_corpus_fires_at_its_share(live, tmp_path):
    texts = dict(live.texts)
    del texts["d00"]
    fresh = write_corpus(tmp_path / "fresh", texts)
    assert fired(checked(live, tmp_path, fresh_corpus=fresh, corpus_share=0.02)) == []
    texts["new"] = "a new one"
    check = checked(live, tmp_path, fresh_corpus=write_corpus(tmp_path / "fresh", texts), corpus_share=0.02)
    assert fired(check) == ["corpus"]
    assert check.signal("corpus").value == pytest.approx(2 / 60)
    assert check.signal("corpus").evidence["examples"]["added"] == ["new"]


def test_drifted_queries_fire_with_new_words(live, tmp_path):
    rng = np.random.default_rng(1)
    log = write_log(tmp_path, ["".join(rng.choice(list("xyz"), size=7)) for _ in range(60)])
    check = checked(live, tmp_path, query_log=log)
    assert fired(check) == ["drift", "vocabulary"]
    assert check.signal("drift").evidence["p_value"] <= 0.001
    assert check.signal("vocabulary").value == 1.0


def test_queries_of_the_same_kind_do_not_fire(live, tmp_path):
    log = write_log(tmp_path, [f"{word(n)} {word(n + 1000)}" for n in range(5, 45)])
    assert fired(checked(live, tmp_path, query_log=log)) == []


def test_few_logged_queries_are_waited_for(live, tmp_path):
    check = checked(live, tmp_path, query_log=write_log(tmp_path, ["xyz"] * 3))
    assert check.signal("drift") is None
    assert "too few" in check.notes[0]


def labels(tmp_path, pairs):
    path = tmp_path / "labels.jsonl"
    path.write_text("".join(json.dumps({"query": q, "doc_id": d}) + "\n" for q, d in pairs))
    return path


def test_fresh_labels_that_keep_the_promise_do_not_fire(live, tmp_path):
    file = labels(tmp_path, [(t, i) for i, t in live.texts.items()])
    check = checked(live, tmp_path, labels=file)
    assert fired(check) == []
    assert check.figures["labelled queries"] == 60


def test_fresh_labels_far_below_the_promise_fire_and_few_of_them_do_not(live, tmp_path):
    ids = sorted(live.texts)
    pairs = [(live.texts[i], ids[(n + 7) % 60]) for n, i in enumerate(ids)]
    assert fired(checked(live, tmp_path, labels=labels(tmp_path, pairs))) == ["labels"]
    assert fired(checked(live, tmp_path, labels=labels(tmp_path, pairs[:29]))) == []


def test_labels_and_logs_that_do_not_exist_yet_are_waited_for(live, tmp_path):
    check = checked(live, tmp_path, labels=tmp_path / "later", query_log=tmp_path / "later")
    assert fired(check) == check.notes == []


def test_without_a_promise_labels_are_a_figure_only(live, tmp_path):
    live.test_score = None
    check = checked(live, tmp_path, labels=labels(tmp_path, [(t, i) for i, t in live.texts.items()]))
    assert check.signal("labels") is None
    assert check.figures["labels"] == pytest.approx(1.0)


def test_a_bad_label_file_is_a_note_and_the_rest_is_still_looked_at(live, tmp_path):
    (tmp_path / "labels.jsonl").write_text("{}\n")
    check = checked(live, tmp_path, labels=tmp_path / "labels.jsonl", fresh_corpus=live.corpus)
    assert "without query" in check.notes[0]
    assert check.signal("corpus") is not None


def test_a_release_without_judged_queries_has_no_canaries(live, tmp_path):
    live.queries = None
    check = checked(live, tmp_path)
    assert check.signal("canaries") is None
    assert "no canaries" in check.notes[0]


def test_the_same_seed_gives_the_same_check(live, tmp_path):
    log = write_log(tmp_path, [word(n) for n in range(40)])
    assert checked(live, tmp_path / "a", query_log=log) == checked(live, tmp_path / "b", query_log=log)

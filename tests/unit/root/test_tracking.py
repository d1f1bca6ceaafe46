"""Records reach MLflow, wait while it is away, and are never sent twice."""

from __future__ import annotations

import importlib
import math
import socket
import time
from pathlib import Path

import pytest

from embedlib.errors import UserError
from embedlib.tracking import tracker as module
from embedlib.tracking.local_store import default_uri, note_ui
from embedlib.tracking.registry import point_champion, reason, registered_version
from embedlib.tracking.tracker import Input, Tracker

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(autouse=True)
def own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(module, "_silent_until", {})


def read(root: Path, tracker: Tracker):
    from mlflow import MlflowClient

    return MlflowClient(default_uri(root)).get_run(tracker.run_id)


def test_a_run_is_recorded_and_closed(tmp_path: Path) -> None:
    tracker = Tracker(tmp_path, "run-1")
    tracker.start("lifecycle", params={"train": {"epochs": 2}}, tags={"flow": "lifecycle"})
    tracker.figures("evaluate", {"nDCG@10": 0.5, "nested": {"p": 0.01}, "bad": math.nan, "note": "fine"})
    (tmp_path / "report.html").write_text("<p>")
    tracker.files("report", [tmp_path / "report.html"])
    assert tracker.finish().waiting == 0
    run = read(tmp_path, tracker)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"train.epochs": "2", "evaluate.note": "fine"}
    assert run.data.tags.keys() == {"flow", "mlflow.runName"}
    assert run.data.metrics == {"evaluate/nDCG_at_10": 0.5, "evaluate/nested.p": 0.01}
    assert list((tmp_path / "mlartifacts").rglob("report.html"))


def test_in_the_background_everything_is_sent_once_and_in_order(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    tracker = Tracker(tmp_path, "run-1")
    tracker.start("lifecycle", params={}, tags={})
    for value in range(5):
        tracker.figures("stage", {"value": value})
        tracker.flush_soon()
    assert tracker.finish().waiting == 0
    history = MlflowClient(default_uri(tmp_path)).get_metric_history(tracker.run_id, "stage/value")
    assert [metric.value for metric in history] == [0, 1, 2, 3, 4]


def test_a_server_that_does_not_answer_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    importlib.import_module("mlflow")  # takes a second by itself
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the connection and says nothing
        tracker = Tracker(tmp_path, "run-1", uri=f"http://127.0.0.1:{silent.getsockname()[1]}")
        tracker.start("lifecycle", params={}, tags={})
        started = time.monotonic()
        tracker.flush_soon()
        assert time.monotonic() - started < 1
        assert tracker.finish().waiting == 2
        assert time.monotonic() - started > 2, "it was tried"


def test_files_stay_in_the_workspace_whatever_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    tracker = Tracker(tmp_path / "ws", "run-1", uri=f"sqlite:///{elsewhere / 'team.db'}")
    tracker.start("lifecycle", params={}, tags={})
    (tmp_path / "report.html").write_text("<p>")
    tracker.files("report", [tmp_path / "report.html"])
    assert tracker.finish().waiting == 0
    assert list((tmp_path / "ws" / "mlartifacts").rglob("report.html"))
    assert [p.name for p in elsewhere.iterdir()] == ["team.db"]


def test_an_absent_server_costs_nothing_and_is_told_later(tmp_path: Path) -> None:
    away = Tracker(tmp_path, "run-1", uri="http://127.0.0.1:9")
    away.start("first", params={}, tags={})
    away.figures("x", {"y": 1.0})
    flushed = away.finish()
    assert flushed.sent == 0
    assert flushed.waiting == 3
    assert "127.0.0.1" in flushed.reason
    assert away.flush().reason == "MLflow did not answer a moment ago", "no second wait for a dead server"

    later = Tracker(tmp_path, "run-2")
    later.start("second", params={}, tags={})
    later.finish()
    assert read(tmp_path, Tracker(tmp_path, "run-1")).data.metrics == {"x/y": 1.0}
    assert Tracker(tmp_path, "run-1").flush() == (0, 0, "")


def test_a_run_has_a_page_where_a_ui_is_known(tmp_path: Path) -> None:
    tracker = Tracker(tmp_path, "run-1")
    assert "not reached" in tracker.address
    tracker.start("lifecycle", params={}, tags={})
    tracker.finish()
    assert tracker.address.startswith(f"{tracker.run_id} in the experiment embedlib")
    note_ui(tmp_path, "http://127.0.0.1:5000")
    experiment = read(tmp_path, tracker).info.experiment_id
    page, _, view = tracker.address.partition("?")
    assert page == f"http://127.0.0.1:5000/#/experiments/{experiment}/runs/{tracker.run_id}"
    assert view == "workflowType=machine_learning"


def test_a_stage_tried_again_holds_nothing_up(tmp_path: Path) -> None:
    tracker = Tracker(tmp_path, "run-1")
    tracker.start("lifecycle", params={}, tags={})
    for text in ("first", "second"):
        tracker.figures("train", {"note": text, "loss": 1.0})
    assert tracker.finish() == (4, 0, "")
    assert read(tmp_path, tracker).data.params == {"train.note": "first"}


def test_a_model_is_registered_once_and_the_alias_follows(
    tmp_path: Path, tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from mlflow import MlflowClient

    for key in ("one", "two"):
        tracker = Tracker(tmp_path, key)
        tracker.start(key, params={}, tags={})
        tracker.model(tiny_model, name="embedlib", digest="d1", description="small, tuned")
        assert tracker.finish().waiting == 0
    client = MlflowClient(default_uri(tmp_path))
    assert len(client.search_model_versions("name = 'embedlib'")) == 1
    version = client.get_model_version_by_alias("embedlib", "champion")
    assert version.tags["embedlib.digest"] == "d1"
    assert version.description == "small, tuned"
    assert version.run_id == Tracker(tmp_path, "one").run_id
    assert capfd.readouterr() == ("", ""), "a terminal shows nothing of it"


def test_a_password_of_the_environment_is_not_in_what_is_logged(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:s3cret@127.0.0.1:9")
    tracker = Tracker(tmp_path, "run-1")
    tracker.start("a", params={}, tags={})
    flushed = tracker.finish()
    assert "127.0.0.1" in flushed.reason
    assert "s3cret" not in flushed.reason + caplog.text


def test_the_database_lies_in_the_workspace_whatever_its_name(tmp_path):
    root = tmp_path / "a b#c%20d&e;f"
    tracker = Tracker(root, "run-1")
    tracker.start("a", params={}, tags={})
    assert tracker.finish().waiting == 0
    assert (root / "mlflow.db").stat().st_size > 0
    with pytest.raises(UserError, match="question mark"):
        Tracker(tmp_path / "a b?x=1", "run-1")


def test_a_run_has_curves_a_description_and_its_data(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    tracker = Tracker(tmp_path, "run-1")
    tracker.start("lifecycle", params={}, tags={})
    for step, value in ((0, 0.5), (10, 0.6)):
        tracker.point("train.dev.nDCG@10", step, value)
    tracker.inputs([Input("corpus", "d" * 64, "documents", str(tmp_path), {"documents": 3})])
    tracker.describe("**promote**", {"verdict": "promote"})
    assert tracker.finish().waiting == 0
    client = MlflowClient(default_uri(tmp_path))
    curve = client.get_metric_history(tracker.run_id, "train.dev.nDCG_at_10")
    assert [(m.step, m.value) for m in curve] == [(0, 0.5), (10, 0.6)]
    run = read(tmp_path, tracker)
    assert run.data.tags["mlflow.note.content"] == "**promote**"
    assert run.data.tags["verdict"] == "promote"
    (used,) = run.inputs.dataset_inputs
    assert (used.dataset.name, used.tags[0].value) == ("corpus", "documents")
    experiment = client.get_experiment_by_name("embedlib")
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"


def test_a_moved_workspace_keeps_its_files(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    before, after = tmp_path / "before", tmp_path / "after"
    tracker = Tracker(before, "run-1")
    tracker.start("lifecycle", params={}, tags={})
    (tmp_path / "report.html").write_text("<p>moved")
    tracker.files("report", [tmp_path / "report.html"])
    tracker.finish()
    before.rename(after)
    later = Tracker(after, "run-2")
    later.start("lifecycle", params={}, tags={})
    later.finish()
    client = MlflowClient(default_uri(after))
    first = next(r for r in client.search_runs([later_experiment(client)]) if r.info.run_id != later.run_id)
    found = client.download_artifacts(first.info.run_id, "report/report.html", str(tmp_path))
    assert Path(found).read_text() == "<p>moved"
    assert str(after) in first.info.artifact_uri


def champion(client) -> str:
    return str(client.get_model_version_by_alias("m", "champion").version)


def later_experiment(client) -> str:
    return client.get_experiment_by_name("embedlib").experiment_id


def test_the_champion_follows_a_rollback(tmp_path: Path, tiny_model: Path) -> None:
    from mlflow import MlflowClient

    tracker = Tracker(tmp_path, "run-1")
    tracker.start("lifecycle", params={}, tags={})
    for digest in ("one", "two"):
        tracker.model(tiny_model, name="m", digest=digest)
    tracker.finish()
    client = MlflowClient(default_uri(tmp_path))
    assert champion(client) == "2"
    assert point_champion(tmp_path, "m", "one")
    assert champion(client) == "1"
    assert not point_champion(tmp_path, "m", "never registered")
    assert champion(client) == "1"
    assert not point_champion(tmp_path / "other", "m", "one")  # no MLflow there: nothing to move


def test_a_model_may_have_a_name_with_an_apostrophe(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(default_uri(tmp_path), registry_uri=default_uri(tmp_path))
    client.create_registered_model("Bob's")
    made = client.create_model_version("Bob's", str(tmp_path), tags={"embedlib.digest": "one"})
    assert registered_version(client, "Bob's", "one") == str(made.version)


def test_a_failure_that_says_nothing_is_named_by_its_type() -> None:
    assert reason(TimeoutError()) == "TimeoutError"
    assert reason(OSError("\nno route\nto the host")) == "OSError: no route"


def test_a_model_that_is_gone_ends_no_later_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    away = Tracker(tmp_path, "run-1", uri="http://127.0.0.1:9")
    away.start("first", params={}, tags={})
    away.model(tmp_path / "artifacts" / "model" / "removed since", name="m", digest="one")
    away.figures("publish", {"release": 1})
    away.finish()
    later = Tracker(tmp_path, "run-2")
    later.start("second", params={}, tags={})
    assert later.finish().waiting == 0
    first = read(tmp_path, Tracker(tmp_path, "run-1"))
    assert (first.info.status, first.data.metrics) == ("FINISHED", {"publish/release": 1.0})
    assert "the model to register is gone" in caplog.text


def test_a_run_deleted_in_mlflow_holds_no_other_one_up(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    deleted = Tracker(tmp_path, "run-1")
    deleted.start("first", params={}, tags={})
    deleted.flush()
    MlflowClient(default_uri(tmp_path)).delete_run(deleted.run_id)
    deleted.figures("x", {"y": 1.0})
    waiting = Tracker(tmp_path, "run-2")
    waiting.start("second", params={}, tags={})

    assert deleted.finish().waiting == 0
    assert waiting.flush() == (0, 0, ""), "it was sent with the other"
    assert read(tmp_path, waiting).info.run_name == "second"


def test_what_is_told_late_takes_no_champion_from_what_is_live(tmp_path: Path, tiny_model: Path) -> None:
    from mlflow import MlflowClient

    away = Tracker(tmp_path, "run-1", uri="http://127.0.0.1:9")
    away.start("first", params={}, tags={})
    away.model(tiny_model, name="m", digest="one")
    away.finish()
    later = Tracker(tmp_path, "run-2")
    later.start("second", params={}, tags={})
    later.model(tiny_model, name="m", digest="two")
    later.finish()
    client = MlflowClient(default_uri(tmp_path))
    assert len(client.search_model_versions("name = 'm'")) == 2
    assert client.get_model_version_by_alias("m", "champion").tags["embedlib.digest"] == "two"

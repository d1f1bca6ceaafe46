"""A stage as a task: reused work is shown as such, mistakes are not tried again, nothing is lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.runtime import flow_run

from embedlib.config.base import Section
from embedlib.errors import DataError, StoreError
from embedlib.stages.base import Stage
from flows.wait_for_task_runs import wait_for_task_runs
from tasks.context import RunContext
from tasks.stage import StageTask

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
CALLS: list[str] = []


class Toy(Section):
    text: str = "x"
    fail: str = ""


def run_toy(job, config, **inputs):
    CALLS.append(config.text)
    if config.fail:
        raise {"user": DataError, "machine": StoreError}[config.fail]("broken")
    (job.out / "data").write_text(config.text)
    return {"rows": len(config.text)}


TOY = Stage("toy", "toys", run_toy)


@flow(name="toys", persist_result=False)
def toys(workspace: Path, fail: str = "") -> str:
    run = RunContext(workspace=workspace, key="k", retries=1)
    first = StageTask(TOY)(run, Toy(text="abc"), "one")
    StageTask(TOY)(run, Toy(text="abc"), "two", source=None)
    StageTask(TOY)(run, Toy(text="de", fail=fail), "three", source=first)
    wait_for_task_runs()
    return str(flow_run.id)


def states(flow_run_id: str) -> dict[str, str]:
    of_this_run = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id]))
    with get_client(sync_client=True) as client:
        runs = client.read_task_runs(flow_run_filter=of_this_run)
    return {run.name: run.state_name for run in runs}


@pytest.fixture(autouse=True)
def fresh_calls(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    CALLS.clear()


def test_reused_work_is_shown_and_no_task_run_is_lost(tmp_path: Path) -> None:
    shown = states(toys(tmp_path))
    assert shown == {"toy one": "Completed", "toy two": "Reused", "toy three": "Completed"}
    assert CALLS == ["abc", "de"]


def test_a_users_mistake_is_not_tried_again(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="broken"):
        toys(tmp_path, fail="user")
    assert CALLS == ["abc", "de"]


def test_a_machines_failure_is_tried_again(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="broken"):
        toys(tmp_path, fail="machine")
    assert CALLS == ["abc", "de", "de"]


def test_a_damaged_live_release_does_not_stop_the_run_that_replaces_it(released: Path, caplog) -> None:
    from prefect.logging import disable_run_logger

    from embedlib.errors import ReleaseError
    from embedlib.index.catalog import current
    from tasks.release import live_release

    run = RunContext(workspace=released, key="k")
    with disable_run_logger():
        assert live_release.fn(run, optional=True) is not None
        shutil.rmtree(current(released).ref(released, "model").path)
        assert live_release.fn(run, optional=True) is None
        with pytest.raises(ReleaseError, match="model artifact of release 1 is gone"):
            live_release.fn(run)


def test_a_curve_goes_to_mlflow_as_it_comes_and_fails_no_training(tmp_path: Path, monkeypatch) -> None:
    from prefect.logging import disable_run_logger

    from embedlib.tracking.tracker import Tracker
    from tasks.progress import tracked_curve

    sent = []
    monkeypatch.setattr(
        Tracker, "flush_soon", lambda tracker: sent.append(len(list(tracker.outbox.glob("*.json"))))
    )
    tracker = Tracker(tmp_path, "k")
    curve = tracked_curve(tracker, "train")
    for step in range(5):
        curve("loss", step, 1.0 / (step + 1))
    assert sent[0] == 1, "the first point does not wait for the next"
    assert len(list(tracker.outbox.glob("*.json"))) == 5
    monkeypatch.setattr(
        "embedlib.tracking.tracker.write_atomic", lambda *_: (_ for _ in ()).throw(OSError(28, "full"))
    )
    with disable_run_logger():
        curve("loss", 6, 0.1)

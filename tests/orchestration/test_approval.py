"""A person's word between the gate's promotion and the publish: yes, no, nameless, none in time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from orchestra import FINAL, PATIENCE, Orchestra, wait_for

from embedlib.index.catalog import current, numbers
from embedlib.tracking.local_store import default_uri

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900 * PATIENCE),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture
def settings(settings: dict[str, Any], tiny_model: Path) -> dict[str, Any]:
    """A random model that thirty steps make much better, and a person who must agree."""
    training = {**settings["train"], "epochs": 2, "learning_rate": 5e-3}
    model = {"name": str(tiny_model)}
    return {**settings, "model": model, "train": training, "decide": {"approval": "human"}}


@pytest.fixture
def office(orchestra: Orchestra, settings: dict[str, Any]) -> Orchestra:
    """A server with everything deployed and a worker."""
    orchestra.deploy(settings)
    orchestra.start_worker()
    return orchestra


@pytest.fixture
def root(settings: dict[str, Any]) -> Path:
    """The workspace."""
    return Path(settings["workspace"])


def asked(office: Orchestra, **parameters: Any) -> str:
    """Start a lifecycle and wait until it shows its form; the run's id."""
    run_id = office.run("lifecycle", **parameters)
    details = office.wait(run_id, "PAUSED", *FINAL, timeout_s=300)["state_details"]
    keys = details["run_input_keyset"]
    found = f"/flow_runs/{run_id}/input/filter"
    wait_for(lambda: office.call("POST", found, prefix=keys["schema"]), 30, "the form")
    (text,) = office.call("POST", found, prefix=keys["description"])
    assert "The candidate" in text["value"]
    assert " gains " in text["value"]
    return run_id


def answer(office: Orchestra, run_id: str, **values: Any) -> dict[str, Any]:
    """Fill in the form as the UI does; what the server says to it."""
    return office.call("POST", f"/flow_runs/{run_id}/resume", run_input=values)


def lease(office: Orchestra, run_id: str) -> str:
    """The lease that a run got on its deployment's one slot."""
    states = office.call("GET", f"/flow_run_states/?flow_run_id={run_id}")
    found = {s["state_details"]["deployment_concurrency_lease_id"] for s in states} - {None}
    return str(found.pop())


def recorded(root: Path, run_id: str) -> dict[str, str]:
    """What the tracking run keeps of the answer."""
    client = MlflowClient(default_uri(root))
    run = client.get_run((root / "tracking" / run_id / "run_id").read_text())
    return {k.partition(".")[2]: v for k, v in run.data.params.items() if k.startswith("approval.")}


def told(office: Orchestra, root: Path) -> list[dict[str, Any]]:
    """Outcome events, oldest first; the base went live before anything was decided."""
    since = {"since": "2020-01-01T00:00:00Z"}
    body = {"filter": {"event": {"prefix": ["embedlib.release."]}, "occurred": since}}
    found = office.call("POST", "/events/filter", **body)["events"]
    outcomes = [event for event in found if event["event"] != "embedlib.release.first"]
    return sorted(outcomes, key=lambda e: e["occurred"])


def base_is_live(root: Path) -> bool:
    """Whether the first release is the only one."""
    return numbers(root) == [1] and current(root).ref(root, "model").manifest.stage == "pin"


def test_a_named_yes_publishes_and_is_recorded(office, root):
    run_id = asked(office)
    for nameless in ({}, {"by": ""}, {"by": " "}):
        assert answer(office, run_id, approve=True, **nameless)["status"] == "REJECT", nameless
        assert office.state(run_id)["type"] == "PAUSED"
    assert base_is_live(root)
    renew = f"/v2/concurrency_limits/leases/{lease(office, run_id)}/renew"
    office.call("POST", renew, lease_duration=300)  # the engine does so, and ends the run if it cannot
    word = {"approve": True, "by": "ann", "note": "looks right"}
    assert answer(office, run_id, **word)["status"] == "ACCEPT"
    assert office.wait(run_id)["type"] == "COMPLETED"
    assert current(root).approval == word
    assert current(root).ref(root, "model").manifest.stage == "train"


def test_a_no_keeps_what_was_there_and_is_recorded(office, root):
    for times in (1, 2):
        run_id = asked(office)
        word = {"approve": False, "by": "bob", "note": f"not today, {times}"}
        assert answer(office, run_id, **word)["status"] == "ACCEPT"
        assert office.wait(run_id)["type"] == "COMPLETED"
        assert base_is_live(root)
        last = wait_for(lambda: told(office, root)[times - 1 :], 30, "the outcome's event")[0]  # noqa: B023
        assert last["event"] == "embedlib.release.kept"
        assert last["payload"]["approval"] == word
        assert recorded(root, run_id) == {"approve": "False", "by": "bob", "note": word["note"]}
    assert current(root).approval is None


def test_no_answer_in_time_publishes_nothing_and_the_next_run_reuses_all(office, root, settings):
    hasty = {**settings, "decide": {"approval": "human", "approval_timeout_s": 60}}
    run_id = asked(office, config=hasty)
    late = office.wait(run_id, timeout_s=120)
    assert late["type"] == "FAILED"
    assert "nobody answered" in late["message"]
    assert "approval_timeout_s" in late["message"]
    assert base_is_live(root)
    again = asked(office)
    done = office.tasks(again)
    answer(office, again, approve=True, by="ann")
    assert office.wait(again)["type"] == "COMPLETED"
    assert current(root).approval["by"] == "ann"
    assert len(done) > 8
    assert {name for name, state in done.items() if state != "Reused"} == {"live release", "check documents"}

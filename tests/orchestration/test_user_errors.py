"""A mistake that is found inside a flow: one message on the terminal, at once, and no traceback."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from contextlib import contextmanager
from uuid import uuid4

import pytest

from embedlib.config.root import Config
from embedlib.errors import ConfigError, DataError, StoreError, UserError
from embedlib.monitoring.history import History
from embedlib.stages.preflight import LIFECYCLE
from flows import terminal
from flows.context import checked_config
from flows.outcome import Trigger
from flows.terminal import PlainErrors, at_terminal, tell_now
from flows.wait_for_task_runs import _final

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def test_a_triggered_run_that_cannot_start_answers_its_event(tmp_path):
    config = Config(workspace=tmp_path).of(tmp_path / "nowhere.jsonl")
    event = Trigger(event="embedlib.quality.degraded", evidence={"id": "event-1"})
    with pytest.raises(ConfigError, match="nowhere"):
        checked_config(config, LIFECYCLE, event)
    (noted,) = History(tmp_path).read().outcomes
    assert (noted.event_id, noted.state) == ("event-1", "failed")
    assert "nowhere.jsonl" in noted.detail


@pytest.mark.timeout(400)
def test_the_command_prints_the_message_once_and_nothing_of_prefect_s(tmp_path):
    (tmp_path / "docs.jsonl").write_text('{"_id": "a", "text": "one"}\n{"_id": "b", "text":\n')
    env = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "embedlib.cli", "run", "--data", "docs.jsonl", "--workspace", "ws"],
        env=env | {"PREFECT_HOME": str(tmp_path / "prefect"), "HF_HUB_OFFLINE": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=390,
    )
    shown = done.stdout + done.stderr
    assert done.returncode == 2, shown
    assert shown.count("not JSON") == 1
    assert "error: not JSON" in shown
    assert "docs.jsonl:2" in shown
    assert "Traceback" not in shown
    assert "Failed(" not in shown


@pytest.fixture
def console():
    """The root logger's handlers, replaced for the test."""
    root = logging.getLogger()
    before, terminal_before = root.handlers[:], terminal._Terminal.tell
    root.handlers[:] = [logging.StreamHandler()]
    yield root.handlers[0]
    root.handlers[:], terminal._Terminal.tell = before, terminal_before


def record(message: str, error: BaseException | None = None) -> logging.LogRecord:
    info = None if error is None else (type(error), error, None)
    return logging.LogRecord("prefect.flow_runs", logging.ERROR, __file__, 1, message, (), info)


def test_other_failures_keep_their_traceback_and_a_retry_is_told(console):
    at_terminal(lambda _: None)
    at_terminal(lambda _: None)
    assert [type(f) for f in console.filters] == [PlainErrors]
    kept = [
        record("Encountered exception during execution: ValueError()", ValueError()),
        record("Finished in state Failed('Task run encountered an exception ValueError: x')"),
        record("Task run failed with exception: StoreError('x') - Retry 1/1 will start 5 seconds from now"),
    ]
    assert all(console.filter(r) for r in kept)
    dropped = [
        record("Encountered exception during execution: DataError('x')", DataError("x")),
        record("Task run failed with exception: StoreError('x') - Retries are exhausted", StoreError("x")),
        record("Finished in state Failed('Task run encountered an exception DataError: x')"),
        record("Finished in state Failed('Flow run encountered an exception: StoreError: x')"),
    ]
    assert not any(console.filter(r) for r in dropped)


def test_only_errors_raised_on_purpose_are_told_before_the_run_is_closed(console):
    told: list[str] = []
    tell_now(DataError("nobody listens"))
    at_terminal(lambda error: told.append(error.what))
    tell_now(ValueError("x"))
    tell_now(DataError("y"))
    assert told == ["y"]


def test_all_task_runs_are_waited_for_however_many(monkeypatch):
    class Client:
        def read_task_runs(self, *, flow_run_filter, limit, offset=0):
            final = type("State", (), {"is_final": lambda self: True})()
            return [type("Run", (), {"state": final})() for _ in range(450)][
                offset : offset + min(limit, 200)
            ]

    @contextmanager
    def get_client(sync_client):
        yield Client()

    monkeypatch.setattr("flows.wait_for_task_runs.get_client", get_client)
    assert _final(uuid4()) == 450


def test_a_mistake_in_a_shard_is_not_tried_again_and_the_rest_as_configured():
    from tasks.encode import shard
    from tasks.stage import may_retry

    assert shard.retry_condition_fn is may_retry
    assert shard.retries == 0


@pytest.mark.parametrize("address", ["not a url", "ftp://host/x", "https:///x", "http://[::1"])
def test_an_address_that_is_none_is_refused_and_not_shown(address):
    from flows.automations import require_address

    with pytest.raises(UserError, match="EMBEDLIB_NOTIFY_URL") as caught:
        require_address(address)
    assert address not in str(caught.value)
    require_address("https://hooks.example/abc")

"""What the list of runs in the Prefect UI says without a click: which flow, where, why, and the verdict."""

from __future__ import annotations

import inspect

import pytest

from flows import outcome
from flows.lifecycle import lifecycle
from flows.outcome import Trigger, run_name


class Run:
    def __init__(self, **parameters):
        self.flow_name, self.parameters = "lifecycle", parameters


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({"config": {"workspace": "/data/ws"}}, "lifecycle ws"),
        ({"config": {}, "workspace": "/data/other"}, "lifecycle other"),
        ({}, "lifecycle workspace"),
        (
            {"config": {"workspace": "ws"}, "event": Trigger(event="embedlib.retrieval.degraded")},
            "lifecycle ws after retrieval.degraded",
        ),
    ],
)
def test_a_run_is_named_for_its_workspace_and_its_cause(monkeypatch, parameters, name):
    monkeypatch.setattr(outcome, "flow_run", Run(**parameters))
    assert run_name() == name


def test_the_form_starts_with_what_a_person_knows():
    assert list(inspect.signature(lifecycle.fn).parameters)[:3] == ["documents", "labels", "workspace"]

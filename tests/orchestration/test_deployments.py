"""``prefect.yaml``: every deployment can be loaded, run, scheduled and triggered, and no key is misspelt.

Prefect ignores keys that it does not know, in triggers too (``expects:`` would mean any event), and
loads a broken flow module as a placeholder; so both are checked here.
"""

from __future__ import annotations

import fnmatch
import inspect
import json
import re
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from prefect.cli.deploy._models import (
    ConcurrencyLimitSpec,
    DeploymentConfig,
    PrefectYamlModel,
    RawScheduleConfig,
    WorkPoolConfig,
)
from prefect.client.schemas.schedules import CronSchedule
from prefect.events import DeploymentEventTrigger
from prefect.flows import load_flow_from_entrypoint
from pydantic import BaseModel

from embedlib.cli import services
from embedlib.monitoring.triggers import EVENT_OF
from flows import command_entry
from flows import deploy as deploying

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT: dict[str, Any] = yaml.safe_load((ROOT / "prefect.yaml").read_text())
DEPLOYMENTS = {d["name"]: d for d in DOCUMENT["deployments"]}

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
each = pytest.mark.parametrize("deployment", DEPLOYMENTS.values(), ids=list(DEPLOYMENTS))


def names_of(model: type[BaseModel]) -> set[str]:
    return {n for name, f in model.model_fields.items() for n in (name, f.alias) if n}


def unknown_keys(document: dict[str, Any]) -> list[str]:
    """Keys that Prefect would ignore, with where they stand."""
    found = [f"{k}" for k in document.keys() - names_of(PrefectYamlModel) - {"definitions"}]
    for deployment in document["deployments"]:
        name = deployment.get("name")
        known: list[tuple[str, type[BaseModel], Any]] = [
            ("", DeploymentConfig, [deployment]),
            ("work_pool", WorkPoolConfig, [deployment.get("work_pool") or {}]),
            ("concurrency_limit", ConcurrencyLimitSpec, [deployment.get("concurrency_limit") or {}]),
            ("schedules", RawScheduleConfig, deployment.get("schedules") or []),
            ("triggers", DeploymentEventTrigger, deployment.get("triggers") or []),
        ]
        for place, model, values in known:
            found += [f"{name}.{place}.{k}" for v in values for k in v.keys() - names_of(model)]
    return sorted(found)


def test_no_key_is_misspelt():
    assert unknown_keys(DOCUMENT) == []


@pytest.mark.parametrize(
    ("right", "wrong", "places"),
    [
        ("expect", "expects", 3),
        ("cron", "crons", 3),
        ("collision_strategy", "colision_strategy", 3),
        ("work_queue_name", "work_queue", 4),
        ("entrypoint", "entry_point", 4),
    ],
)
def test_the_check_finds_misspelt_keys(right, wrong, places):
    def rename(value: Any) -> Any:
        if isinstance(value, dict):
            return {wrong if k == right else k: rename(v) for k, v in value.items()}
        return [rename(v) for v in value] if isinstance(value, list) else value

    assert len(unknown_keys(rename(DOCUMENT))) == places


def test_there_are_the_four_deployments_on_one_process_pool():
    assert set(DEPLOYMENTS) == {"lifecycle", "refresh", "monitor", "evaluate"}
    assert {d["work_pool"]["name"] for d in DEPLOYMENTS.values()} == {"embedlib"}


@each
def test_the_entrypoint_is_a_flow_and_its_parameters_validate(deployment):
    flow = load_flow_from_entrypoint(deployment["entrypoint"], use_placeholder_flow=False)
    parameters = deployment["parameters"]
    assert parameters.keys() <= inspect.signature(flow.fn).parameters.keys()
    flow.validate_parameters(parameters)
    with pytest.raises(Exception, match="workspaces"):
        flow.validate_parameters({**parameters, "config": {"workspaces": "x"}})


def test_a_broken_module_would_be_noticed(tmp_path):
    (tmp_path / "broken.py").write_text("import nowhere\nfrom prefect import flow\n@flow\ndef f(): pass\n")
    with pytest.raises(Exception, match="nowhere"):
        load_flow_from_entrypoint(str(tmp_path / "broken.py:f"), use_placeholder_flow=False)


@each
def test_schedules_parse_and_have_unique_names(deployment):
    schedules = deployment["schedules"]
    for schedule in schedules:
        CronSchedule(cron=schedule["cron"], timezone=schedule["timezone"])
    assert len({s["slug"] for s in schedules}) == len(schedules)


def test_every_event_of_the_monitor_triggers_exactly_one_deployment():
    expected = [e for d in DEPLOYMENTS.values() for t in d.get("triggers", []) for e in t["expect"]]
    assert sorted(expected) == sorted(set(EVENT_OF.values()))


def test_triggers_are_reactive_to_single_events_of_a_workspace_and_named_once():
    triggers = [t for d in DEPLOYMENTS.values() for t in d.get("triggers", [])]
    for trigger in triggers:
        parsed = DeploymentEventTrigger.model_validate(trigger)
        assert parsed.threshold == 1
        assert fnmatch.fnmatch("embedlib.workspace.shop", trigger["match"]["prefect.resource.id"])
    assert len({t["name"] for t in triggers}) == len(triggers)


@each
def test_what_a_trigger_passes_on_is_the_flow_s_typed_parameter(deployment):
    flow = load_flow_from_entrypoint(deployment["entrypoint"], use_placeholder_flow=False)
    payload = {"id": "e1", "evidence": {"drift": {"value": 0.2, "text": 'a "quoted" – text'}}}
    event = {"event": "embedlib.queries.drifted", "payload": payload}
    for trigger in deployment.get("triggers", []):
        for name, template in trigger["parameters"].items():
            text = jinja2.Environment().from_string(template["value"]["template"]).render(event=event)
            found = flow.validate_parameters({**deployment["parameters"], name: json.loads(text)})[name]
            assert found.event == event["event"]
            assert found.evidence == payload


def test_no_secret_stands_in_the_file():
    text = (ROOT / "prefect.yaml").read_text()
    assert not re.search(r"(?i)(api_?key|token|password|secret)\s*:\s*['\"]?[A-Za-z0-9_\-]{8,}", text)


NAMED = {"workspace": "/ws", "ingest": {"source": {"type": "auto", "path": "/docs"}}}


@pytest.mark.parametrize(("config", "active"), [(NAMED, True), ({"workspace": "/ws"}, False)])
def test_schedules_are_paused_until_documents_are_named(monkeypatch, tmp_path, config, active):
    written = []

    def prefect(*arguments: str) -> None:
        if arguments[0] == "deploy":
            written.append(yaml.safe_load(Path(arguments[-1]).read_text()))

    monkeypatch.setattr(deploying, "_prefect", prefect)
    assert deploying.deploy(config, tmp_path) == list(DEPLOYMENTS)
    schedules = [s for d in written[0]["deployments"] for s in d["schedules"]]
    assert [s["active"] for s in schedules] == [active] * 3
    assert all(d["parameters"]["config"] == config for d in written[0]["deployments"])


@pytest.mark.parametrize(
    ("there", "config", "kept"),
    [
        (None, NAMED, False),
        (NAMED, NAMED, True),
        (NAMED, {"workspace": "/ws"}, True),
        ({"workspace": "/ws"}, {"workspace": "/ws"}, True),
        ({"workspace": "/ws"}, NAMED, False),
        ({**NAMED, "workspace": "/other"}, {"workspace": "/ws"}, False),
    ],
)
def test_what_somebody_deployed_for_the_workspace_is_kept(monkeypatch, there, config, kept):
    from prefect.settings import PREFECT_API_URL, temporary_settings

    monkeypatch.setattr(command_entry, "require_server", lambda url: None)
    monkeypatch.setattr(deploying, "deployed_config", lambda: there)
    monkeypatch.setattr(deploying, "deploy", lambda config, folder: ["lifecycle"])
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        assert command_entry.deploy(config, keep=True) == ([] if kept else ["lifecycle"])
        assert command_entry.deploy(config) == ["lifecycle"]


def test_ui_deploys_what_the_live_release_was_made_with(monkeypatch, tmp_path, capsys):
    given = []
    monkeypatch.setattr(
        services, "from_flows", lambda name: lambda config, keep: given.append(config) or ["x"]
    )
    services.deploy_own(tmp_path)
    assert "embedlib deploy --data" in capsys.readouterr().out
    (tmp_path / "releases").mkdir()
    monkeypatch.setattr(services, "live_values", lambda root, required: {"ingest": NAMED["ingest"]})
    services.deploy_own(tmp_path)
    assert given == [{"workspace": str(tmp_path)}, {**NAMED, "workspace": str(tmp_path)}]
    assert "configuration of the live release" in capsys.readouterr().out

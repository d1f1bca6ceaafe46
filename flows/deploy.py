"""The deployments of ``prefect.yaml``, put on a server from wherever this package lies."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from embedlib.errors import ServiceError
from embedlib.process import child_environment, module_command

FILE = "prefect.yaml"


def deployments() -> dict[str, Any]:
    """The file's content."""
    content: dict[str, Any] = yaml.safe_load(files("flows").joinpath(FILE).read_text(encoding="utf-8"))
    return content


def deploy(config: Mapping[str, Any], folder: Path) -> list[str]:
    """Make the work pool where it is missing, and the deployments; those of the same names are replaced.

    Schedules of a configuration that names no documents are paused.

    Args:
        config: What each deployment runs with.
        folder: Where its relative paths begin.

    Raises:
        ServiceError: Prefect refused.
    """
    document = deployments()
    document.pop("definitions")
    document["pull"] = [{"prefect.deployments.steps.set_working_directory": {"directory": str(folder)}}]
    for deployment in document["deployments"]:
        deployment["parameters"] = {**deployment["parameters"], "config": dict(config)}
        for schedule in deployment["schedules"]:
            schedule["active"] = schedule["active"] and names_documents(config)
    for pool in sorted({d["work_pool"]["name"] for d in document["deployments"]}):
        _prefect("work-pool", "create", pool, "--type", "process", "--overwrite")
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / FILE
        path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")  # is YAML
        _prefect("deploy", "--all", "--prefect-file", str(path))
    return [str(d["name"]) for d in document["deployments"]]


def names_documents(config: Mapping[str, Any]) -> bool:
    """Whether the configuration says what to read."""
    return bool((config.get("ingest") or {}).get("source"))


def deployed_config() -> dict[str, Any] | None:
    """The configuration that the lifecycle's deployment has on the server; None where there is none."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    with get_client(sync_client=True) as client:
        try:
            deployment = client.read_deployment_by_name("lifecycle/lifecycle")
        except ObjectNotFound:
            return None
    return dict(deployment.parameters.get("config") or {})


def _prefect(*arguments: str) -> None:
    done = subprocess.run(
        module_command("prefect", "--no-prompt", *arguments),
        capture_output=True,
        text=True,
        check=False,
        env=child_environment(),
    )
    if done.returncode:
        raise ServiceError(
            f"Prefect refused: prefect {' '.join(arguments[:2])}",
            found=(done.stderr or done.stdout).strip()[-1500:],
            remedy="see the message; PREFECT_API_URL names the server",
        )

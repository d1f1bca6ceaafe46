"""Checks of the installation: versions, services, disk, leftovers and locks."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata
from pathlib import Path

from embedlib.doctor.findings import Finding, failure, fine, warning
from embedlib.redact import redact

#: Outside their range these stop the server, or its schedules without a word.
CRITICAL = ("fastapi", "sqlalchemy", "prefect", "torch", "sentence-transformers")
DISTRIBUTION = "embedlib"


def check_versions(
    requirements: Iterable[str], version_of: Callable[[str], str] = metadata.version
) -> list[Finding]:
    """Are the installed versions within the tested ranges?

    Args:
        requirements: Requirement strings such as ``fastapi>=0.139,<0.151``; those of extras are left out.
        version_of: Installed version of a distribution; raises ``PackageNotFoundError``.
    """
    from packaging.requirements import Requirement

    wrong: list[Finding] = []
    count = 0
    for text in requirements:
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        count += 1
        try:
            found = version_of(requirement.name)
        except metadata.PackageNotFoundError:
            found = ""
        if not found or not requirement.specifier.contains(found, prereleases=True):
            tell = failure if not found or requirement.name in CRITICAL else warning
            wrong.append(
                tell(
                    "versions",
                    f"{requirement.name} is {'outside the tested versions' if found else 'not installed'}",
                    f"pip install '{requirement.name}{requirement.specifier}'",
                    found=found or None,
                    tested=str(requirement.specifier),
                )
            )
    return wrong or [fine("versions", "every library is within its tested versions", libraries=count)]


def own_requirements() -> list[str]:
    """What this distribution requires; empty when it runs from source without being installed."""
    try:
        return metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return []


def service_urls(environment: Mapping[str, str]) -> dict[str, str]:
    """Configured services that answer over HTTP: the Prefect API and the MLflow server, if any.

    Where the environment names no Prefect API, the active Prefect profile is read.
    """
    found = {"Prefect": environment.get("PREFECT_API_URL") or _profile_url(environment)}
    found["MLflow"] = environment.get("MLFLOW_TRACKING_URI", "")
    return {name: url for name, url in found.items() if url.startswith("http")}


def _profile_url(environment: Mapping[str, str]) -> str:
    home = environment.get("PREFECT_HOME") or str(
        Path(environment.get("HOME", "~")).expanduser() / ".prefect"
    )
    try:
        values = tomllib.loads((Path(home) / "profiles.toml").read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError):
        return ""
    profile = values.get("profiles", {}).get(values.get("active"), {})
    return str(profile.get("PREFECT_API_URL", ""))


def check_service(name: str, url: str) -> Finding:
    """Does a configured service answer on its ``/health``? Credentials in its address are not shown."""
    import httpx

    shown = redact(url)
    try:
        answer = httpx.get(f"{url.rstrip('/')}/health", timeout=5.0)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        return failure(
            "services",
            f"{name} does not answer",
            "embedlib ui (starts Prefect and MLflow here), or correct the address",
            url=shown,
            error=type(error).__name__,
        )
    return fine("services", f"{name} answers", url=shown)


def check_disk(free_bytes: int, needed_bytes: int) -> Finding:
    """Is there room for another life cycle, which writes twice what the live release's artifacts take?"""
    wanted = max(2 * needed_bytes, 1 << 30)
    evidence = {"free_gb": round(free_bytes / 1e9, 2), "wanted_gb": round(wanted / 1e9, 2)}
    command = "free space on the workspace's disk; old artifacts: artifacts/<kind>/ that no release names"
    if free_bytes < wanted / 4:
        return failure("disk", "the disk is nearly full", command, **evidence)
    if free_bytes < wanted:
        return warning("disk", "the disk may not hold another run", command, **evidence)
    return fine("disk", "there is room for another run", **evidence)

"""The whole diagnosis: installation, workspace, machine, live release."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np

from embedlib.config.live import live_values
from embedlib.config.root import load_config
from embedlib.disk import folder_bytes
from embedlib.doctor import installation, leftovers, machine
from embedlib.doctor.findings import Finding, Severity, exit_code, failure, fine, warning
from embedlib.doctor.runs import check_orphans, running_runs
from embedlib.errors import EmbedlibError, ReleaseError, type_and_line
from embedlib.index.catalog import Release, current
from embedlib.loopback import is_loopback
from embedlib.process import cpu_cores

#: Folders whose size another run would write again.
_HEAVY = ("vectors", "index", "model")
#: Longest wait for a vector store's answer.
STORE_WAIT_S = 10.0


def diagnose(root: Path, *, try_alternatives: bool = True) -> list[Finding]:
    """Examine the installation, the workspace and the live release.

    Args:
        root: The workspace; it need not exist yet.
        try_alternatives: Also try other prompts, poolings and metrics on judged queries (encodes a
            few hundred documents several times).
    """
    root = Path(root)
    release, findings = _live(root)
    return [
        *installation.check_versions(installation.own_requirements()),
        *_services(),
        *_guarded("workspace", partial(_workspace, root, release)),
        *_guarded("training", partial(_machine, root)),
        *findings,
        *(_released(root, release, try_alternatives) if release else ()),
    ]


def _services() -> Iterator[Finding]:
    for name, url in installation.service_urls(os.environ).items():
        found = installation.check_service(name, url)
        yield found
        if name == "Prefect" and found.severity == Severity.OK:
            yield from _guarded("services", partial(_runs, url))


def _runs(api_url: str) -> list[Finding]:
    import psutil

    runs = running_runs(api_url)
    local = is_loopback(api_url)
    return [check_orphans(runs, now=datetime.now(UTC), alive=psutil.pid_exists, local=local)]


def _live(root: Path) -> tuple[Release | None, list[Finding]]:
    try:
        release = current(root)
    except EmbedlibError as error:
        found = failure("release", "the live release cannot be read", "embedlib rollback", error=str(error))
        return None, [found]
    if release is None:
        make = f"embedlib run --data YOUR-DOCUMENTS --workspace {root}"
        return None, [warning("release", "nothing is live", make, workspace=str(root))]
    return release, [fine("release", f"release {release.number} is live", created=release.created_at)]


def _workspace(root: Path, release: Release | None) -> Iterator[Finding]:
    if not root.is_dir():
        yield fine("workspace", "the workspace does not exist yet", path=str(root))
        return
    parts = [release.ref(root, name) for name in _HEAVY] if release else []
    size = sum(folder_bytes(ref.path) for ref in parts)
    yield installation.check_disk(shutil.disk_usage(root).free, size)
    yield from leftovers.check_leftovers(root)
    yield leftovers.check_locks(root)


def _machine(root: Path) -> Iterator[Finding]:
    from embedlib.models.hardware import cpu_flags, default_device

    device = default_device()
    yield machine.check_accelerator(device, cpu_flags(), "auto", cpu_cores())
    for log in sorted(root.glob("scratch/*/training.log")):
        if leftovers.is_free(root, log.parent.name):
            yield machine.check_training_log(log, machine.available_mb(device))


def _released(root: Path, release: Release, try_alternatives: bool) -> Iterator[Finding]:
    from embedlib.doctor.released import ReleaseDoctor

    doctor = ReleaseDoctor(root, release, np.random.default_rng([0, *b"doctor"]))
    for subject in (doctor.files, doctor.geometry, doctor.model, doctor.language, doctor.proof):
        yield from _guarded(subject.__name__, subject)
    if try_alternatives:
        yield from _guarded("usage", doctor.usage)
    yield from _guarded("vector store", partial(check_target, root, release))


def check_target(root: Path, release: Release) -> Iterator[Finding]:
    """Compare the store's live collection with the live release, where one is configured."""
    target = load_config(base=live_values(root, required=False)).publish.target
    if target is None:
        return
    from embedlib.stages.push import open_target
    from embedlib.stores.searcher import live_collection

    mend = f"embedlib push-index --workspace {root}"
    evidence = {"store": target.type, "collection": target.collection, "live release": release.number}
    try:
        with open_target(target, STORE_WAIT_S) as store:
            _, info = live_collection(store)
    except ReleaseError:
        yield warning("vector store", "nothing was published into it", mend, **evidence)
        return
    except EmbedlibError as error:
        yield failure("vector store", "it cannot be asked", mend, **evidence, error=str(error))
        return
    evidence |= {"its release": info.release}
    if (info.model_digest, info.corpus_digest) == (release.model.digest, release.parts["corpus"].digest):
        yield fine("vector store", "it answers with the live release", **evidence)
    else:
        yield warning("vector store", "it answers with another release", mend, **evidence)


def _guarded(name: str, subject: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """A subject's findings; what stops it from being examined is a finding too."""
    try:
        yield from subject()
    except Exception as error:  # noqa: BLE001 - damaged files raise anything; the diagnosis goes on
        yield failure(
            name,
            "could not be examined",
            "embedlib verify (compares every file with its checksum)",
            error=type_and_line(error),
        )


__all__ = ["Finding", "Severity", "diagnose", "exit_code"]

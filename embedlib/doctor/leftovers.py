"""Checks of what crashes leave in a workspace: half-written folders, old scratch, stuck locks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from embedlib.disk import file_lock
from embedlib.doctor.findings import Finding, fine, warning
from embedlib.errors import counted

DAY_S = 86_400.0
OLD_SCRATCH_DAYS = 7


def check_leftovers(root: Path, now_s: float | None = None) -> list[Finding]:
    """Half-written artifacts of dead writers, damaged ones set aside, scratch that nobody resumes,
    and records that MLflow has not taken.
    """
    now = time.time() if now_s is None else now_s
    dead = [p for p in root.glob("artifacts/*/.tmp-*") if is_free(root, p.name.removeprefix(".tmp-"))]
    damaged = list(root.glob("artifacts/*/.damaged-*"))
    old = [
        p
        for p in root.glob("scratch/*")
        if now - p.stat().st_mtime > OLD_SCRATCH_DAYS * DAY_S and is_free(root, p.name)
    ]
    looks = (
        (
            dead,
            f"{counted(len(dead), 'half-written artifact')} of dead processes",
            "any flow sweeps them when it starts; or delete them",
        ),
        (
            damaged,
            f"{counted(len(damaged), 'damaged artifact')} set aside and built anew",
            "check the disk (dmesg, smartctl), then delete them",
        ),
        (
            old,
            f"unfinished work older than {OLD_SCRATCH_DAYS} days that nobody resumed",
            "give the command that was interrupted again, or delete the folders",
        ),
    )
    found = [
        warning("leftovers", title, command, paths=[str(p) for p in sorted(paths)[:5]])
        for paths, title, command in looks
        if paths
    ]
    waiting = sorted(root.glob("tracking/*/*.json"))
    if waiting:
        found.append(
            warning(
                "tracking",
                f"waiting for MLflow: {counted(len(waiting), 'record')}",
                "start MLflow (`embedlib ui`); the next run sends them",
                oldest_days=round((now - min(p.stat().st_mtime for p in waiting)) / DAY_S, 2),
            )
        )
    return found or [fine("leftovers", "nothing half-written, no old unfinished work")]


class Holder(NamedTuple):
    """A process that holds a lock of the workspace."""

    path: Path
    pid: int
    status: str
    hours: float
    command: str


def check_locks(root: Path, most_hours: float = 48.0) -> Finding:
    """Is a lock held by a process that is stopped, or for longer than any run should take?

    Locks end with their holder, so one that nobody holds is never stale.
    """
    holders = list(lock_holders(root))
    stuck = [h for h in holders if h.status == "stopped" or h.hours > most_hours]
    if stuck:
        worst = stuck[0]
        return warning(
            "locks",
            f"process {worst.pid} holds a lock and is {worst.status}, for {worst.hours:.1f} h",
            f"look at it (ps -p {worst.pid}); kill {worst.pid} frees the lock and loses no finished work",
            holders=[h._asdict() | {"path": str(h.path)} for h in stuck],
        )
    return fine("locks", "no lock is stuck", held=len(holders))


def lock_holders(root: Path) -> Iterator[Holder]:
    """Who holds the workspace's locks, from Linux's ``/proc/locks``; nobody elsewhere."""
    import psutil

    try:
        table = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return
    files = {p.lstat().st_ino: p for p in (*root.glob("locks/*.lock"), *root.glob("releases/.lock"))}
    for fields in (line.split() for line in table):
        if len(fields) < 6 or "->" in fields:
            continue
        inode = int(fields[5].split(":")[2])
        if inode not in files:
            continue
        try:
            process = psutil.Process(int(fields[4]))
            hours = (time.time() - process.create_time()) / 3600
            command = " ".join(process.cmdline())[:200]
            yield Holder(files[inode], process.pid, process.status(), hours, command)
        except psutil.Error:
            continue


def is_free(root: Path, name: str) -> bool:
    """Whether nobody is building the artifact of that fingerprint."""
    locks = root / "locks"
    if not locks.is_dir():
        return True
    with file_lock(locks / f"{name}.lock", wait=False) as held:
        return held

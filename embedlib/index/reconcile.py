"""One publisher at a time, and what a killed one left is finished or undone."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from embedlib.disk import disk_errors, file_lock
from embedlib.errors import ReleaseError
from embedlib.index.catalog import (
    PENDING,
    TEMPORARY,
    finished_numbers,
    live_number,
    numbers,
    read_release,
    releases_dir,
    swap,
)
from embedlib.index.history import history, mend_history, record

logger = logging.getLogger(__name__)


@contextmanager
def publisher_lock(root: Path, *, wait: bool = True) -> Iterator[None]:
    """Only one process changes ``releases/`` at a time; leftovers are reconciled on entry.

    Raises:
        ReleaseError: Another publisher is at work and ``wait`` is false.
    """
    folder = releases_dir(root)
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with disk_errors(folder), file_lock(folder / ".lock", wait=wait) as held:
        if not held:
            raise ReleaseError(
                "another publisher is at work",
                where=str(folder),
                remedy="try again when it has finished, or publish with wait on",
            )
        reconcile_locked(root)
        yield


def reconcile(root: Path) -> list[str]:
    """Finish or undo what a killed publish or rollback left; returns what was done.

    Waits for a publisher that is at work.
    """
    folder = releases_dir(root)
    if not folder.is_dir():
        return []
    with disk_errors(folder), file_lock(folder / ".lock"):
        return reconcile_locked(root)


def reconcile_locked(root: Path) -> list[str]:
    """``reconcile`` for a caller that holds the publisher's lock."""
    folder = releases_dir(root)
    done = []
    for leftover in folder.glob(f"{TEMPORARY}*"):
        _remove(leftover)
        done.append(f"removed the unfinished {leftover.name}")
    done += mend_history(root)
    past = history(root)
    before = past[-1]["to"] if past else None
    live = live_number(root)
    if live is None:
        live = _restore_current(root, [entry["to"] for entry in past])
        done += [f"restored releases/current to release {live}"] if live is not None else []
    elif live != before:
        record(root, "reconcile", before, live, why="a publisher was killed after the swap")
        done.append(f"recorded release {live} as live")
    return done + _finish_pending(root, live)


def _restore_current(root: Path, past: Sequence[int | None]) -> int | None:
    """Make live again what the audit trail says was live last; None where it does not say or that is gone."""
    last = next((number for number in reversed(past) if number is not None), None)
    if last not in finished_numbers(root):
        return None
    try:
        read_release(root, last)
    except ReleaseError as error:
        logger.warning("releases/current is lost, and %s", error)
        return None
    logger.warning("releases/current was lost: release %d, live last, is live again", last)
    swap(root, last)
    record(root, "reconcile", None, last, why="releases/current was lost")
    return last


def _finish_pending(root: Path, live: int | None) -> list[str]:
    """Remove what a publisher wrote and did not make live; nothing while it is not known what is live."""
    done, folder = [], releases_dir(root)
    for number in numbers(root):
        mark = folder / str(number) / PENDING
        if number == live:
            mark.unlink(missing_ok=True)
        elif mark.exists() and (live is not None or not finished_numbers(root)):
            _remove(folder / str(number))
            done.append(f"removed release {number}, which was never live")
    return done


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:
        shutil.rmtree(path)

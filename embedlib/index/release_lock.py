"""Who reads a release: a shared lock on it that ends with the reader.

The lock is the operating system's, so a killed reader holds nothing, and retention can ask
without waiting.
"""

from __future__ import annotations

import fcntl
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from embedlib.errors import ReleaseError
from embedlib.index.catalog import current_number, releases_dir, require_not_lost

LOCK_FILE = ".hold"


class ReleaseLock:
    """A reader's hold on one release; while it is open nothing of the release is removed.

    Raises:
        ReleaseError: The release is not there (any more).
    """

    def __init__(self, root: Path, number: int) -> None:
        self.number = number
        path = releases_dir(root) / str(number) / LOCK_FILE
        descriptor = _open_shared(path)
        self._end = weakref.finalize(self, os.close, descriptor)
        if not _still_there(path, descriptor):
            self._end()
            raise _gone(path, number)

    def close(self) -> None:
        """Let the release go; also happens when nothing refers to the hold any more."""
        self._end()


def lock_current(root: Path, attempts: int = 20) -> ReleaseLock | None:
    """Lock the live release, following it while publishers and retention move on.

    Returns:
        The hold, or None where nothing was ever published.

    Raises:
        ReleaseError: ``current`` keeps naming releases that are not there, or is lost.
    """
    for attempt in range(attempts):
        number = current_number(root)
        if number is None:
            require_not_lost(root)
            return None
        try:
            return ReleaseLock(root, number)
        except ReleaseError:
            if attempt == attempts - 1:
                raise
    return None


@contextmanager
def removal(root: Path, number: int) -> Iterator[bool]:
    """Yields whether nobody reads the release; while true, no reader can begin to."""
    path = releases_dir(root) / str(number) / LOCK_FILE
    path.touch(exist_ok=True)
    with path.open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _open_shared(path: Path) -> int:
    try:
        if (path.parent / "release.json").is_file() and not path.exists():
            path.touch()  # lost: a copy without hidden files, say
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise _gone(path, int(path.parent.name)) from error
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def _still_there(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _gone(path: Path, number: int) -> ReleaseError:
    return ReleaseError(
        f"release {number} is not there",
        where=str(path.parent),
        remedy="`embedlib releases` lists those that are",
    )

"""Files written whole or not at all, locks that end with their holder, a disk's refusals as typed errors."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from embedlib.errors import DiskFull, EmbedlibError, NotWritable

logger = logging.getLogger(__name__)

#: What libraries that do not keep the error number say (safetensors, FAISS, SQLite).
_FULL = ("No space left on device", "os error 28", "Disk quota exceeded", "disk is full")


@contextmanager
def file_lock(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """An operating-system lock, released when its holder dies; yields whether it is held.

    Raises:
        NotWritable: Its file cannot be made.
    """
    with disk_errors(path):
        stream = path.open("a+")
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                yield False
                return
            logger.info("waiting for another process: %s", path.name)
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield True


def write_atomic(path: Path, data: str | bytes) -> None:
    """Replace a file in one step: a reader sees the old bytes or the new, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{time.time_ns()}")
    try:
        with temporary.open("wb") as stream:
            stream.write(data.encode() if isinstance(data, str) else data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync(path.parent)


def append_line(path: Path, line: bytes, *, mode: int = 0o666, durable: bool = False) -> None:
    """Append a line in one write, on a line of its own even after a torn one.

    Args:
        path: The file; it is made, with ``mode``, where it is not there.
        line: Without the line end.
        mode: Who may read a new file.
        durable: Whether the line is on the disk on return.

    Raises:
        OSError: It was not written, or in part.
    """
    data = line + b"\n"
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, mode)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # else another's half-written line would look torn
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            data = b"\n" + data
        if os.write(descriptor, data) != len(data):
            raise OSError("the line was written in part: is the disk full?")
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def disk_errors(where: Path) -> Iterator[None]:
    """Raise ``DiskFull`` or ``NotWritable`` in place of what the operating system or a library raises.

    Args:
        where: What is being written; named where the error names no file of its own.
    """
    try:
        yield
    except EmbedlibError:
        raise
    except Exception as error:
        typed = _typed(error, where)
        if typed is None:
            raise
        raise typed from error


def sync(path: Path) -> None:
    """Make a file's bytes, or a folder's renames, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """``sync`` for a folder and everything in it."""
    for path in folder.rglob("*"):
        sync(path)
    sync(folder)


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _typed(error: Exception, where: Path) -> EmbedlibError | None:
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.ENOSPC, errno.EDQUOT) or any(words in str(error) for words in _FULL):
        return DiskFull(
            "the disk is full",
            where=str(where),
            remedy="free space and give the same command again; finished stages and shards are kept",
        )
    if not isinstance(error, OSError) or number not in _REFUSALS:
        return None
    return NotWritable(
        f"the operating system refuses a file: {os.strerror(number or 0).lower()}",
        where=str(error.filename or where),
        remedy=_REFUSALS[number],
    )


_MAY_WRITE = "give this user the right to write there, or use another workspace"
#: What an operating system refuses, and what a person can do about it.
_REFUSALS: dict[int | None, str] = {
    errno.EROFS: "mount the file system writable, or use another workspace",
    errno.EACCES: _MAY_WRITE,
    errno.EPERM: _MAY_WRITE,
    errno.ENOTDIR: "something on this path is a file: name a folder",
    errno.EISDIR: "this is a folder where a file belongs: move it away",
    errno.EEXIST: "this is a file where a folder belongs: move it away, or use another workspace",
    errno.ENAMETOOLONG: "use a shorter path",
    errno.ELOOP: "links on this path point at each other: name the folder itself",
    errno.EIO: "the disk does not read or write: check it (dmesg, smartctl)",
}

"""An append-only record of answered questions, so that nothing is bought twice.

``ledger.jsonl``, one JSON object a line: ``{"key", "value", "usage"}``. Lines are appended under
an operating-system lock and synced; a line cut short by a crash is closed and passed over, so
that at most the one answer in flight is lost. Only keys and offsets are held in memory.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from embedlib.disk import sync
from embedlib.errors import CorruptArtifact, DiskFull
from embedlib.http.usage import TokenUsage

logger = logging.getLogger(__name__)

FILE = "ledger.jsonl"
SCHEMA_VERSION = 1


class Ledger:
    """Answers by key (a digest of the question), kept in a folder.

    The folder is made if it is not there.

    Raises:
        CorruptArtifact: The file is of another schema version.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / FILE
        self.usage = TokenUsage()
        self.damaged = 0
        self._offsets: dict[str, int] = {}
        self._lock = threading.Lock()
        self._appender = self.path.open("ab", buffering=0)
        self._reader = self.path.open("rb")
        self._closed = weakref.finalize(self, _close, self._appender, self._reader)
        with _file_lock(self._appender.fileno()):
            self._begin()

    def __len__(self) -> int:
        return len(self._offsets)

    def __contains__(self, key: str) -> bool:
        return key in self._offsets

    def close(self) -> None:
        """Close the file; what was put is on the disk already."""
        self._closed()

    def get(self, key: str) -> Any:
        """The answer kept for ``key``; ``KeyError`` when there is none."""
        with self._lock:
            self._reader.seek(self._offsets[key])
            return json.loads(self._reader.readline())["value"]

    def put(self, entries: Sequence[tuple[str, Any]], usage: TokenUsage) -> None:
        """Append answers that one request bought, and sync them to disk.

        Args:
            entries: (key, JSON value) pairs; may be empty when a request cost something and
                brought nothing, so that a budget still knows of it.
            usage: What the request cost, kept with the first line.

        Raises:
            DiskFull: No space left; what was put before stays readable.
        """
        lines: list[tuple[str | None, bytes]] = []
        records: list[tuple[str | None, Any]] = [*entries] or [(None, None)]
        for index, (key, value) in enumerate(records):
            spent = asdict(usage) if index == 0 else None
            record = {"key": key, "value": value, "usage": spent}
            lines.append((key, json.dumps(record, allow_nan=False).encode() + b"\n"))
        with self._lock, _file_lock(self._appender.fileno()):
            offset = self._appender.seek(0, os.SEEK_END)
            self._append(b"".join(line for _, line in lines))
            for name, line in lines:
                if name is not None:
                    self._offsets[name] = offset
                offset += len(line)
            self.usage += usage

    def _append(self, data: bytes) -> None:
        """Write and sync; a write that fails half-way is taken back, so that the next line starts clean."""
        descriptor = self._appender.fileno()
        before = os.fstat(descriptor).st_size
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(descriptor, left) :]
            os.fsync(descriptor)
        except OSError as error:
            os.ftruncate(descriptor, before)
            raise DiskFull(
                "an answer could not be kept",
                where=str(self.path),
                found=str(error),
                remedy="free space and run again: answers kept so far are not asked again",
            ) from error

    def _begin(self) -> None:
        whole = True
        offset = 0
        for number, line in enumerate(self._reader, start=1):
            whole = line.endswith(b"\n")
            self._read_line(number, line, offset)
            offset += len(line)
        if offset == 0:
            self._append(json.dumps({"schema_version": SCHEMA_VERSION}).encode() + b"\n")
            sync(self.path.parent)
        elif not whole:
            self._append(b"\n")

    def _read_line(self, number: int, line: bytes, offset: int) -> None:
        try:
            record = json.loads(line)
            if number == 1 and "schema_version" in record:
                self._check_version(record["schema_version"])
                return
            if record["usage"]:
                self.usage += TokenUsage(**record["usage"])
            if record["key"] is not None:
                self._offsets[record["key"]] = offset
        except (ValueError, KeyError, TypeError):
            self.damaged += 1
            logger.warning("%s: line %d is damaged; its question will be asked again", self.path, number)

    def _check_version(self, found: Any) -> None:
        if found != SCHEMA_VERSION:
            raise CorruptArtifact(
                "a ledger of another schema version",
                where=str(self.path),
                expected=str(SCHEMA_VERSION),
                found=str(found),
                remedy="use the embedlib version that wrote it, or move the file away to ask anew",
            )


@contextmanager
def _file_lock(descriptor: int) -> Iterator[None]:
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def _close(*streams: IO[bytes]) -> None:
    for stream in streams:
        stream.close()

"""What comes back from people: served queries, for drift, and marks, for the next training.

JSON lines, one write a line: lines of several servers on one workspace do not mix.
"""

from __future__ import annotations

import json
import logging
import random
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from embedlib.corpus.marks import MARKS, SERVED_QUERIES
from embedlib.disk import append_line
from embedlib.errors import StoreError

logger = logging.getLogger(__name__)


def append_record(path: Path, record: Mapping[str, Any]) -> None:
    """Append one record; only this user may read the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    append_line(path, json.dumps(record, allow_nan=False).encode("ascii"), mode=0o600)


class QueryLog:
    """A sample of served queries, a file a day; old days are deleted.

    Only what was asked and what came of it is kept: no address, no header, no key.

    Args:
        root: The workspace.
        share: Share of queries that is kept.
        days: Days after which a file is deleted.
        day_bytes: Size at which a day's file is full.
        now: The time, in UTC.
    """

    def __init__(
        self,
        root: Path,
        *,
        share: float,
        days: int,
        day_bytes: int = 64 << 20,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._folder = root / SERVED_QUERIES
        self._share, self._days, self._day_bytes, self._now = share, days, day_bytes, now
        self._today = ""
        self._guard = threading.Lock()

    def note(self, query: str, **outcome: Any) -> bool:
        """Keep a query if it is drawn; false where it was drawn and could not be written."""
        if random.random() >= self._share:  # noqa: S311 - a sample, not a secret
            return True
        with self._guard:
            now = self._now()
            path = self._folder / f"{now:%Y-%m-%d}.jsonl"
            try:
                if path.name != self._today:
                    self._delete_old(now)
                    self._today = path.name
                if path.exists() and path.stat().st_size >= self._day_bytes:
                    return False
                append_record(path, {"at": now.isoformat(timespec="seconds"), "query": query, **outcome})
            except OSError as error:
                logger.error("a query could not be logged: %s", error)
                return False
        return True

    def _delete_old(self, now: datetime) -> None:
        oldest = f"{now - timedelta(days=self._days):%Y-%m-%d}.jsonl"
        for path in self._folder.glob("????-??-??.jsonl"):
            if path.name < oldest:
                path.unlink(missing_ok=True)


class Marks:
    """Results that people marked as right or wrong.

    Args:
        root: The workspace.
        max_bytes: Size at which the file is full, so that no client can fill the disk.
    """

    def __init__(self, root: Path, max_bytes: int = 64 << 20) -> None:
        self._path, self._max_bytes = root / MARKS, max_bytes
        self._guard = threading.Lock()

    def add(self, query: str, doc_id: str, relevant: bool, release: int) -> None:
        """Keep one mark.

        Raises:
            StoreError: It cannot be written.
        """
        at = datetime.now(UTC).isoformat(timespec="seconds")
        mark = {"at": at, "query": query, "doc_id": doc_id, "relevance": int(relevant), "release": release}
        try:
            with self._guard:
                if self._path.exists() and self._path.stat().st_size >= self._max_bytes:
                    raise OSError(f"the file has {self._max_bytes} bytes and is full")
                append_record(self._path, mark)
        except OSError as error:
            raise StoreError(
                "a mark cannot be written", where=str(self._path), found=error.strerror or str(error)
            ) from error

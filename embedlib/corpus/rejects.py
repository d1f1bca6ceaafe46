"""What happens to rows that cannot be used: the run ends, or they are listed and counted."""

from __future__ import annotations

import json
import logging
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import Literal

from embedlib.corpus.records import Rejected
from embedlib.errors import DataError

logger = logging.getLogger(__name__)

OnBadRow = Literal["fail", "skip"]
FILE = "rejected.jsonl"


class Rejects:
    """Writes ``rejected.jsonl``; nothing is left out silently.

    Args:
        path: The file to write.
        on_bad_row: ``fail`` raises at the first bad row.
        origin: The source, as errors call it.
        option: The option that lets bad rows be skipped, for the remedy.
    """

    def __init__(self, path: Path, on_bad_row: OnBadRow, origin: str, option: str) -> None:
        self.on_bad_row, self.origin, self.option = on_bad_row, origin, option
        self.count = 0
        self.empty = 0
        self._stream: TextIOWrapper = path.open("w", encoding="utf-8")

    def add(self, rejected: Rejected) -> None:
        """A row that breaks the rules.

        Raises:
            DataError: ``on_bad_row`` is ``fail``.
        """
        if self.on_bad_row == "fail":
            raise DataError(
                rejected.reason,
                where=f"{self.origin}: {rejected.where}",
                remedy=f"mend it, or set {self.option}=skip to leave such rows out and list them",
            )
        self._write(rejected)
        self.count += 1

    def leave_out(self, rejected: Rejected) -> None:
        """A row with nothing in it: no mistake, but listed too."""
        self._write(rejected)
        self.empty += 1

    def _write(self, rejected: Rejected) -> None:
        if self.count + self.empty < 5:
            logger.warning("left out %s: %s", rejected.where, rejected.reason)
        self._stream.write(json.dumps(rejected._asdict(), ensure_ascii=False) + "\n")

    def __enter__(self) -> Rejects:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

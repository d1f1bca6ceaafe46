"""What happens to rows that cannot be used: the run ends, or they are listed and counted."""

from __future__ import annotations

import json
import logging
from collections import Counter
from io import TextIOWrapper
from pathlib import Path, PurePosixPath
from typing import Literal

from embedlib.corpus.records import Rejected
from embedlib.errors import DataError
from embedlib.json_file import JsonPart

logger = logging.getLogger(__name__)

OnBadRow = Literal["fail", "skip"]
FILE = "rejected.jsonl"
#: Files that are named in the profile; the others stand in ``rejected.jsonl``.
NAMED = 50


class LeftOut(JsonPart):
    """Files that were left out: how many, by suffix and reason, and the first of them by name."""

    count: int
    by_suffix: dict[str, dict[str, int]]
    named: list[dict[str, str]]


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
        self.ignored = 0
        self._kinds: dict[str, Counter[str]] = {}
        self._named: list[dict[str, str]] = []
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

    def pass_over(self, rejected: Rejected) -> None:
        """A file that was never taken for a document: listed, whatever ``on_bad_row`` says."""
        self._write(rejected)
        self.ignored += 1

    def files(self) -> LeftOut:
        """The files that were left out."""
        return LeftOut(
            count=sum(map(Counter.total, self._kinds.values())),
            by_suffix={suffix: dict(self._kinds[suffix].most_common()) for suffix in sorted(self._kinds)},
            named=self._named,
        )

    def _write(self, rejected: Rejected) -> None:
        if self.count + self.empty < 5 and not rejected.ignored:
            logger.warning("left out %s: %s", rejected.where, rejected.reason)
        suffix = PurePosixPath(rejected.where).suffix.lower() or "no suffix"
        self._kinds.setdefault(suffix, Counter())[rejected.reason.split(":")[0]] += 1
        row = {"where": rejected.where, "reason": rejected.reason}
        if len(self._named) < NAMED:
            self._named.append(row)
        self._stream.write(json.dumps(row, ensure_ascii=False) + "\n")

    def __enter__(self) -> Rejects:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()


#: Files that are named one by one; the others are counted.
SHOWN = 5


def left_out_lines(left_out: LeftOut | None) -> list[str]:
    """Counts by suffix and reason, and the first files by name; no line where every file was read.

    >>> left_out_lines(LeftOut(count=2, by_suffix={".pdf": {"encrypted": 1, "scanned": 1}},
    ...     named=[{"where": "a.pdf", "reason": "encrypted: it opens with a password only"}]))
    ['2 files left out: .pdf (1 encrypted, 1 scanned)', 'a.pdf: encrypted: it opens with a password only']
    """
    if left_out is None or not left_out.count:
        return []
    count = left_out.count
    kinds = [
        f"{suffix} ({', '.join(f'{n} {reason}' for reason, n in reasons.items())})"
        for suffix, reasons in left_out.by_suffix.items()
    ]
    head = f"{count} {'file' if count == 1 else 'files'} left out: {', '.join(kinds)}"
    return [head, *(f"{row['where']}: {row['reason']}" for row in left_out.named[:SHOWN])]

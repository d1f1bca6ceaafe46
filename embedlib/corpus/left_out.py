"""What a person is told of files that were not read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Files that are named one by one; the others are counted.
SHOWN = 5


def left_out_lines(left_out: Mapping[str, Any]) -> list[str]:
    """Counts by suffix and reason, and the first files by name.

    Args:
        left_out: ``left_out`` of a corpus's ``profile.json``, see ``Rejects.files``.

    Returns:
        Lines; none where every file was read.

    >>> left_out_lines({"count": 2, "by_suffix": {".pdf": {"encrypted": 1, "scanned": 1}},
    ...     "named": [{"where": "a.pdf", "reason": "encrypted: it opens with a password only"}]})
    ['2 files left out: .pdf (1 encrypted, 1 scanned)', 'a.pdf: encrypted: it opens with a password only']
    """
    count = left_out.get("count", 0)
    if not count:
        return []
    kinds = [
        f"{suffix} ({', '.join(f'{n} {reason}' for reason, n in reasons.items())})"
        for suffix, reasons in left_out["by_suffix"].items()
    ]
    head = f"{count} {'file' if count == 1 else 'files'} left out: {', '.join(kinds)}"
    return [head, *(f"{row['where']}: {row['reason']}" for row in left_out["named"][:SHOWN])]

"""Edits of a workspace's sealed JSON records, as somebody who knows the format would make them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from embedlib.integrity import sealed


def edit_record(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a record in place and seal it anew."""
    record = json.loads(path.read_text(encoding="utf-8"))
    record.pop("seal")
    change(record)
    path.write_text(json.dumps(sealed(record)), encoding="utf-8")

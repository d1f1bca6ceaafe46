"""A workspace's JSON files as somebody who knows the format reads and edits them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from embedlib.artifact import ArtifactRef
from embedlib.integrity import sealed


def edit_record(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a record in place and seal it anew."""
    record = json.loads(path.read_text(encoding="utf-8"))
    record.pop("seal")
    change(record)
    path.write_text(json.dumps(sealed(record)), encoding="utf-8")


def json_of(ref: ArtifactRef, name: str) -> Any:
    """One JSON file of an artifact as it is on the disk."""
    return json.loads(ref.file(name).read_text(encoding="utf-8"))

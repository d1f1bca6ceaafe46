"""What changed in the corpus since the release: by id and content hash."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

EXAMPLES = 5


class Delta(NamedTuple):
    """Documents by what happened to them; ``examples`` holds a few ids of each kind."""

    added: int
    changed: int
    removed: int
    unchanged: int
    examples: dict[str, list[str]]

    @property
    def share(self) -> float:
        """Documents added, changed or removed over the documents of the release."""
        before = self.changed + self.removed + self.unchanged
        return (self.added + self.changed + self.removed) / max(before, 1)


def corpus_delta(before: dict[str, str], after: dict[str, str]) -> Delta:
    """Compare two corpora given as {doc_id: content hash}."""
    added = sorted(after.keys() - before.keys())
    removed = sorted(before.keys() - after.keys())
    changed = sorted(i for i in before.keys() & after.keys() if before[i] != after[i])
    kinds = {"added": added, "changed": changed, "removed": removed}
    return Delta(
        len(added),
        len(changed),
        len(removed),
        len(before) - len(removed) - len(changed),
        {kind: ids[:EXAMPLES] for kind, ids in kinds.items()},
    )


def content_hashes(path: Path) -> dict[str, str]:
    """{doc_id: content hash} of a Parquet file with these two columns (corpus or vectors ids)."""
    table = pq.read_table(path, columns=["doc_id", "content_hash"])
    return dict(zip(table.column(0).to_pylist(), table.column(1).to_pylist(), strict=True))

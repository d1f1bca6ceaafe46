"""Where a result comes from: every artifact behind it, what each cost, and its options."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

from embedlib.errors import CorruptArtifact
from embedlib.store import ArtifactRef, Manifest, read_manifest

logger = logging.getLogger(__name__)


def model_line(model: ArtifactRef) -> Iterator[ArtifactRef]:
    """A model and the models that its weights came from, the nearest first; removed ones are left out."""
    todo, seen = [model], set[Path]()
    while todo:
        ref = todo.pop(0)
        yield ref
        models = {p.path: p for p in ref.parents.values() if p.kind == "model" and p.exists}
        todo += [parent for path, parent in models.items() if path not in seen]
        seen |= models.keys()


def lineage(artifacts: Path, refs: Iterable[ArtifactRef]) -> list[Manifest]:
    """The manifests of some artifacts and of all their parents, parents first.

    Args:
        artifacts: The store's artifacts folder (``artifacts/<kind>/<fingerprint>/``).
        refs: Where to start.

    Returns:
        Each manifest once; an ancestor that was removed or damaged since is left out.
    """
    found: dict[str, Manifest] = {}
    seen: set[str] = set()

    def visit(name: str) -> None:
        if name in seen:
            return
        seen.add(name)
        try:
            manifest = read_manifest(artifacts / name)
        except CorruptArtifact as error:
            logger.warning("left out of the lineage: %s", error.where)
            return
        for parent in manifest.parents.values():
            visit(parent)
        found[name] = manifest

    for ref in refs:
        visit(f"{ref.kind}/{ref.fingerprint}")
    return list(found.values())

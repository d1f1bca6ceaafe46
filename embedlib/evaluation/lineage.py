"""Where a result comes from: every artifact behind it, what each cost, and its options."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Self

from embedlib.artifact import ArtifactRef, Manifest, read_manifest
from embedlib.errors import CorruptArtifact
from embedlib.json_file import IfGiven, JsonFile

logger = logging.getLogger(__name__)


class Provenance(JsonFile):
    """What a model is, in its folder: of a base its source and fixed options, of others how they were made.

    Digests and options only, no times and no paths: the same training gives the same file.
    """

    FILE: ClassVar[str] = "provenance.json"
    source: IfGiven[str] = None
    source_digest: IfGiven[str] = None
    dimension: IfGiven[int] = None
    max_length: IfGiven[int] = None
    normalized: IfGiven[bool] = None
    query_prompt: IfGiven[str] = None
    document_prompt: IfGiven[str] = None
    pipeline: IfGiven[list[str]] = None
    parameters: IfGiven[int] = None
    made: IfGiven[str] = None
    share: IfGiven[float] = None
    base_digest: IfGiven[str] = None
    tuned_digest: IfGiven[str] = None
    teacher_digest: IfGiven[str] = None
    start_digest: IfGiven[str] = None
    examples_digest: IfGiven[str] = None
    corpus_digest: IfGiven[str] = None
    loss: IfGiven[str] = None
    seed: IfGiven[int] = None
    options: IfGiven[dict[str, Any]] = None

    @classmethod
    def of(cls, folder: Path) -> Self:
        """That of a model's folder; with no field given where there is no such file."""
        return cls.read(folder) if (folder / cls.FILE).is_file() else cls()


def model_line(model: ArtifactRef) -> Iterator[ArtifactRef]:
    """A model and the models that its weights came from, the nearest first; removed ones are left out."""
    todo, seen = [model], set[Path]()
    while todo:
        ref = todo.pop(0)
        yield ref
        models = {p.path: p for p in ref.parents.values() if p.kind == "model" and p.exists}
        todo += [parent for path, parent in models.items() if path not in seen]
        seen |= models.keys()


#: What a stage makes of the model that it starts from.
MADE = {"adapt": "adapted", "train": "tuned", "merge": "tuned, merged with the base", "distil": "distilled"}


def model_name(model: ArtifactRef) -> str:
    """What people call a model: the one that it comes from, and what was made of it last.

    Where the artifact cannot be read, that is said.
    """
    try:
        line = [ref.manifest for ref in model_line(model)]
    except CorruptArtifact:
        return "gone or damaged"
    source = next((str(m.summary["source"]) for m in reversed(line) if "source" in m.summary), "a model")
    base = Path(source).name if Path(source).is_absolute() else source
    return ", ".join(filter(None, [base, MADE.get(line[0].stage, "")]))


def lineage(artifacts: Path, refs: Iterable[ArtifactRef]) -> list[Manifest]:
    """The manifests of some artifacts and of all their parents, parents first.

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

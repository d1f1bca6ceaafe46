"""What an evaluation is given, sorted: labelled collections, and general sets."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from embedlib.config.evaluation import Guard, MtebGuard, SimilarityGuard
from embedlib.config.live import with_documents
from embedlib.config.root import Config
from embedlib.errors import UserError
from embedlib.evaluation.similarity import similarity_file


class EvaluationInputs(NamedTuple):
    """A configuration for each labelled collection by its name, and the general sets."""

    collections: dict[str, Config]
    sets: tuple[Guard, ...]


def evaluation_inputs(
    config: Config,
    data: Sequence[Path] = (),
    mteb: Sequence[str] = (),
    runs: Mapping[str, Sequence[Path]] | None = None,
) -> EvaluationInputs:
    """Tell collections from similarity sets, and give each run file to its collection.

    Without ``data`` the configured documents are the one collection; where none are configured, and
    there are no general sets to measure on either, it is the live release's.

    Args:
        config: The options, and the configured documents.
        data: Collections, similarity files, or folders of these with one file a split.
        mteb: MTEB tasks by name.
        runs: TREC run files by the name of their collection.

    Raises:
        UserError: A run file is of a collection that is not there, or there is nothing to measure on.
    """
    files = {path: similarity_file(path, config.evaluate.split) for path in data}
    sets: list[Guard] = [SimilarityGuard(file=file) for file in files.values() if file]
    sets += [MtebGuard(task=task) for task in mteb]
    collections: dict[str, Config] = {}
    for path in (p for p, file in files.items() if file is None):
        collections[short_name(str(path), collections)] = config.on(path)
    if not data and (not (sets or config.evaluate.chosen_guards) or config.ingest.source is not None):
        config = with_documents(config)
        collections[source_name(config)] = config
    for name, paths in (runs or {}).items():
        if name not in collections:
            known = ", ".join(collections) or "none"
            raise UserError("a run of a collection that is not given", expected=f"one of {known}", found=name)
        collections[name] = collections[name].with_runs(paths)
    return EvaluationInputs(collections, tuple(sets))


def source_name(config: Config) -> str:
    """A name for the configured documents: their file's or folder's, else the kind of source."""
    source = config.ingest.source
    path = getattr(source, "path", None)
    return short_name(str(path), ()) if path else getattr(source, "type", "documents")


def short_name(path: str, taken: Collection[str]) -> str:
    """The last part of a path or of a model's name, numbered if it is taken.

    Examples:
        >>> short_name("org/model/", ["model"]), short_name("other/model", [])
        ('model-2', 'model')
    """
    short = path.rstrip("/").rsplit("/", 1)[-1].removesuffix("_vectors")
    number = sum(1 for name in taken if name == short or name.startswith(f"{short}-"))
    return f"{short}-{number + 1}" if number else short

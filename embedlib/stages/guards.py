"""Configured guards: their data, and what they depend on outside the store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from embedlib.config.evaluation import Guard, MtebGuard, RetrievalGuard, SimilarityGuard
from embedlib.errors import DataError
from embedlib.evaluation.beir import read_beir_set
from embedlib.evaluation.guards import GuardSet
from embedlib.evaluation.measures import parse_measures
from embedlib.evaluation.mteb import load_task
from embedlib.evaluation.similarity import read_pairs
from embedlib.fingerprint import package_version, tree_digest


def guard_set(guard: Guard) -> GuardSet:
    """A guard with its data.

    Raises:
        DataError: Its files or package are missing, or its data are bad.
        ConfigError: Its measure is not known.
    """
    if isinstance(guard, RetrievalGuard):
        parse_measures([guard.measure])
        content = read_beir_set(guard.folder, guard.split)
        return GuardSet(guard.folder.name, content, guard.margin, guard.measure)
    if isinstance(guard, SimilarityGuard):
        name = f"{guard.file.parent.name}/{guard.file.stem}"
        return GuardSet(name, read_pairs(guard.file), guard.margin)
    return GuardSet(guard.task, load_task(guard.task), guard.margin)


def guard_digests(guards: Sequence[Guard]) -> dict[str, str]:
    """Digests of the guards' files, and the version of the package that MTEB tasks come from.

    Raises:
        DataError: A file is missing.
    """
    tasks = {f"mteb {g.task}": package_version("mteb") for g in guards if isinstance(g, MtebGuard)}
    paths = [g.folder for g in guards if isinstance(g, RetrievalGuard)]
    paths += [g.file for g in guards if isinstance(g, SimilarityGuard)]
    return {**tasks, **file_digests(paths)}


def file_digests(paths: Sequence[Path]) -> dict[str, str]:
    """Digests of files and folders that an evaluation reads, by path.

    Raises:
        DataError: One is missing.
    """
    missing = [str(p) for p in paths if not p.exists()]
    if missing:
        raise DataError(f"evaluation files that do not exist: {', '.join(missing)}")
    return {str(path): tree_digest(path) for path in paths}

"""Configured guards: their data, and what they depend on outside the store."""

from __future__ import annotations

from collections.abc import Sequence

from embedlib.config.evaluation import Guard, MtebGuard, RetrievalGuard, SimilarityGuard
from embedlib.errors import DataError
from embedlib.evaluation.guards import GuardSet, beir_guard, package_version, similarity_guard
from embedlib.evaluation.measures import parse_measures
from embedlib.evaluation.mteb import load_task
from embedlib.fingerprint import tree_digest


def guard_set(guard: Guard) -> GuardSet:
    """A guard with its data.

    Raises:
        DataError: Its files or package are missing, or its data are bad.
        ConfigError: Its measure is not known.
    """
    if isinstance(guard, RetrievalGuard):
        parse_measures([guard.measure])
        return beir_guard(guard.folder, guard.split, guard.measure, guard.margin)
    if isinstance(guard, SimilarityGuard):
        return similarity_guard(guard.file, guard.margin)
    return GuardSet(guard.task, load_task(guard.task), guard.margin)


def guard_digests(guards: Sequence[Guard]) -> dict[str, str]:
    """Digests of the guards' files, and the version of the package that MTEB tasks come from.

    Raises:
        DataError: A file is missing.
    """
    tasks = {f"mteb {g.task}": package_version("mteb") for g in guards if isinstance(g, MtebGuard)}
    paths = [g.folder for g in guards if isinstance(g, RetrievalGuard)]
    paths += [g.file for g in guards if isinstance(g, SimilarityGuard)]
    missing = [str(p) for p in paths if not p.exists()]
    if missing:
        raise DataError(f"evaluation files that do not exist: {', '.join(missing)}")
    return {**tasks, **{str(path): tree_digest(path) for path in paths}}

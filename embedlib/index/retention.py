"""What goes when a disk fills: old releases, and large artifacts that no kept release names.

The live release stays, its predecessor, and whatever somebody reads.
"""

from __future__ import annotations

import logging
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

from embedlib.artifact import ArtifactRef
from embedlib.disk import file_lock, sync
from embedlib.errors import CorruptArtifact
from embedlib.index.catalog import TEMPORARY, current_number, live_number, numbers, releases, releases_dir
from embedlib.index.reconcile import publisher_lock
from embedlib.index.release_lock import removal
from embedlib.store import Store

logger = logging.getLogger(__name__)


def retire(
    root: Path, *, keep: int, max_age_days: float | None = None, at: datetime | None = None
) -> list[int]:
    """Remove old releases' records: all but the newest ``keep``, and those past ``max_age_days``.

    What only they named is left to ``remove_unused``.

    Returns:
        The numbers that were removed; a release that somebody reads is left for the next time.
    """
    with publisher_lock(root):
        if live_number(root) is None:
            return []  # which one must stay is not known
        return [
            n for n in _expired(root, keep, max_age_days, at or datetime.now(UTC)) if _retire_one(root, n)
        ]


def protected(root: Path) -> set[int]:
    """Releases that retention never removes: the live one and the one a rollback would return to."""
    live = current_number(root)
    keep = set() if live is None else {live}
    target = previous(root)
    return keep if target is None else keep | {target}


def previous(root: Path) -> int | None:
    """The release that was live before the live one and is still there, from its record."""
    live = live_number(root)
    there = {release.number: release for release in releases(root)}
    if live is None:
        return None
    candidates = [n for n in there[live].parents if n in there] if live in there else []
    return candidates[0] if candidates else max((n for n in there if n < live), default=None)


def _expired(root: Path, keep: int, max_age_days: float | None, at: datetime) -> list[int]:
    newest_first = releases(root)
    spared = protected(root)
    limit = None if max_age_days is None else at - timedelta(days=max_age_days)
    old = {r.number for r in newest_first[keep:]}
    if limit is not None:
        old |= {r.number for r in newest_first if datetime.fromisoformat(r.created_at) < limit}
    return sorted(old - spared)


def _retire_one(root: Path, number: int) -> bool:
    folder = releases_dir(root)
    with removal(root, number) as free:
        if not free:
            logger.info("release %d is being read; kept for now", number)
            return False
        grave = folder / f"{TEMPORARY}retired-{number}"
        (folder / str(number)).replace(grave)
        sync(folder)
    shutil.rmtree(grave)
    return True


#: Kinds that grow with the corpus and can be built again; models, evaluations and decisions stay.
LARGE_KINDS = ("corpus", "shard", "vectors", "index")


def remove_unused(store: Store, *, older_than_days: float, at: datetime | None = None) -> list[ArtifactRef]:
    """Remove old corpora, vectors and indexes that no kept release names.

    A release that somebody reads is kept (see ``retire``), and so is all that it names. The age, counted
    from the last time that a stage made or reused it, spares what a running flow works with.
    """
    limit = (at or datetime.now(UTC)) - timedelta(days=older_than_days)
    with publisher_lock(store.root):
        kept = releases(store.root)
        if len(kept) != len(numbers(store.root)):
            logger.warning("nothing is removed while a release cannot be read: what it names is not known")
            return []
        named = {(p.kind, p.fingerprint) for release in kept for p in release.parts.values()}
        old = [
            ref
            for kind in LARGE_KINDS
            if (store.artifacts_dir / kind).is_dir()
            for ref in store.artifacts(kind)
            if (kind, ref.fingerprint) not in named and _is_older(ref, limit)
        ]
        removed = [ref for ref in old if _remove(store, ref)]
    if removed:
        logger.info("removed %d artifacts that no release names, older than %s", len(removed), limit.date())
    return removed


def _is_older(ref: ArtifactRef, limit: datetime) -> bool:
    try:
        reused = datetime.fromtimestamp(ref.path.stat().st_mtime, UTC)
        return max(datetime.fromisoformat(ref.manifest.created_at), reused) < limit
    except CorruptArtifact as error:
        logger.warning("%s", error)
        return False


def _remove(store: Store, ref: ArtifactRef) -> bool:
    """Rename to what ``Store.sweep`` removes, then remove; a kill between leaves no half artifact."""
    with file_lock(store.locks_dir / f"{ref.fingerprint}.lock", wait=False) as held:
        if not held:
            return False
        grave = ref.path.with_name(f".tmp-{ref.fingerprint}")
        ref.path.rename(grave)
        shutil.rmtree(grave)
    return True

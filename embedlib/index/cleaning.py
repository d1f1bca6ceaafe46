"""Removes what fills a disk that is left running: large artifacts that no kept release names."""

from __future__ import annotations

import logging
import shutil
from datetime import UTC, datetime, timedelta

from embedlib.artifact import ArtifactRef
from embedlib.disk import file_lock
from embedlib.errors import CorruptArtifact
from embedlib.index.catalog import numbers, releases
from embedlib.index.reconcile import publisher_lock
from embedlib.store import Store

logger = logging.getLogger(__name__)

#: Kinds that grow with the corpus and can be built again; models, evaluations and decisions stay.
LARGE_KINDS = ("corpus", "shard", "vectors", "index")


def remove_unused(store: Store, *, older_than_days: float, at: datetime | None = None) -> list[ArtifactRef]:
    """Remove old corpora, vectors and indexes that no kept release names.

    A release that somebody reads is kept (see ``retire``), and so is all that it names. The age
    spares what a running flow has just made.

    Args:
        store: The workspace.
        older_than_days: Younger artifacts stay.
        at: The time that age is counted from; now when None.

    Returns:
        What was removed.
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
        return datetime.fromisoformat(ref.manifest.created_at) < limit
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

"""Bring a release into a store: load beside, verify, cut over, keep the old one.

The procedure is the same for every store, and for a first load, a refresh and a rollback:

1. where the live collection holds the release, nothing is done;
2. a collection beside it is chosen: the one that was live before, if its rows are by the same model, else
   a new one (a copy of the live one, where the store can make it and the model is the same);
3. what it holds is compared with the release, by key and hash; the difference is sent in batches;
4. counts, ids, recall against exact search and canaries are verified in the store itself;
5. the target's name is led to it in one step, and what is older than the one before is dropped.

Nothing is remembered outside the store: killed anywhere, the same call compares again and goes on.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from embedlib.disk import file_lock
from embedlib.index.catalog import Release, releases_dir
from embedlib.index.export import release_to_export
from embedlib.index.release_lock import ReleaseLock
from embedlib.index.release_parts import require_whole
from embedlib.index.verify import Checks
from embedlib.progress import Progress, silent
from embedlib.stores.base import (
    CollectionInfo,
    IndexType,
    VectorStore,
    collection_name,
    number_of,
    store_errors,
)
from embedlib.stores.rows import ReleaseRows
from embedlib.stores.verify import verify_collection

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PushOptions:
    """How a release is brought into a store.

    Args:
        batch: Rows sent at once, and keys deleted at once.
        index: The store's index.
        checks: Canaries, and the model if it is loaded already.
        progress: Told the rows that were sent.
    """

    batch: int
    index: IndexType
    checks: Checks = field(default_factory=Checks)
    progress: Progress = silent


class Pushed(NamedTuple):
    """What was done: the live collection, the rows sent and deleted, and whether it was live already."""

    release: int
    collection: str
    sent: int
    deleted: int
    reused: bool


def push_release(
    root: Path, store: VectorStore, target: str, options: PushOptions, *, number: int | None = None
) -> Pushed:
    """Make a release what the target answers with.

    Raises:
        ReleaseError: There is no such release.
        CorruptArtifact: A part of it is damaged; nothing was sent.
        VerificationError: What the store holds fails a check; the old collection stays live.
        ServiceError: The store cannot be reached, or refuses.
    """
    root = Path(root)
    release_to_export(root, number)
    with file_lock(releases_dir(root) / f".push-{target}.lock"), store_errors(store):
        release = release_to_export(root, number)  # another may have gone live while this waited
        hold = ReleaseLock(root, release.number)
        try:
            require_whole(root, release, ("corpus", "model", "vectors", "index"))
            return _push(root, release, store, target, options)
        finally:
            hold.close()


def _push(root: Path, release: Release, store: VectorStore, target: str, options: PushOptions) -> Pushed:
    rows = ReleaseRows(root, release)
    wanted = rows.describe(options.index)
    known, live = store.collections(), store.live()
    if live is not None and known[live].same_rows(wanted):
        wanted = wanted.model_copy(update={"whole": True, "serial": known[live].serial})
        if known[live] != wanted:
            store.describe(live, wanted)  # the same rows under another number, or searched otherwise
        _retire(store, live)
        return Pushed(release.number, live, 0, 0, reused=True)
    serial = 1 + max((info.serial for info in known.values()), default=0)
    wanted = wanted.model_copy(update={"serial": serial})
    staged = _stage(store, target, known, live, wanted)
    sent, deleted = _load(store, staged, rows, wanted, options)
    verify_collection(root, store, staged, rows, wanted, options.checks)
    store.describe(staged, wanted.model_copy(update={"whole": True}))
    store.cut_over(staged)
    logger.info("%s answers from %s: release %d, %d rows sent", target, staged, release.number, sent)
    _retire(store, staged)
    return Pushed(release.number, staged, sent, deleted, reused=False)


def _stage(
    store: VectorStore,
    target: str,
    known: dict[str, CollectionInfo],
    live: str | None,
    wanted: CollectionInfo,
) -> str:
    """The collection to load: one that is there, or a new one."""
    beside = [name for name, info in known.items() if name != live and info.same_space(wanted)]
    if beside:
        staged = max(beside, key=lambda name: (known[name].same_rows(wanted), known[name].serial))
        store.describe(staged, wanted)  # not whole from here on
        return staged
    staged = collection_name(target, 1 + max((number_of(target, name) or 0 for name in known), default=0))
    copied = live if live is not None and store.copies and known[live].same_space(wanted) else None
    store.create(staged, wanted, copied)
    return staged


def _load(
    store: VectorStore, name: str, rows: ReleaseRows, wanted: CollectionInfo, options: PushOptions
) -> tuple[int, int]:
    """Send what the collection lacks and delete what it has too much; returns both numbers."""
    missing = rows.difference(store.held(name))
    sent = 0
    for batch in rows.batches(missing.rows, options.batch):
        store.upsert(name, batch)
        sent += len(batch)
        options.progress(sent, len(missing.rows), "rows sent")
    for start in range(0, len(missing.keys), options.batch):
        store.delete(name, missing.keys[start : start + options.batch])
    store.finish(name, wanted)
    return sent, len(missing.keys)


def _retire(store: VectorStore, live: str) -> None:
    """Keep the live collection and the whole one that was live before it; drop the others."""
    known = store.collections()
    before = [name for name, info in known.items() if info.whole and info.serial < known[live].serial]
    kept = {live, *sorted(before, key=lambda name: known[name].serial)[-1:]}
    for name in known:
        if name not in kept:
            store.drop(name)

"""Publish a model and its index as one unit, and go back.

The steps of a publish, in order: lock and reconcile; refuse parts that do not belong together;
verify; write the release to a temporary folder and rename it; swap ``current`` and take the mark of
an unfinished release off; append to the audit trail. Whatever kills the process, the old release or
the new one is live, whole.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from embedlib.artifact import ArtifactRef
from embedlib.contracts import Corpus
from embedlib.disk import sync
from embedlib.errors import MismatchError, ReleaseError, UserError
from embedlib.evaluation.records import Decision
from embedlib.index import catalog
from embedlib.index.catalog import PENDING, Part, Release, releases
from embedlib.index.history import history, now, record, user_name
from embedlib.index.info import IndexInfo
from embedlib.index.reconcile import publisher_lock
from embedlib.index.release_lock import LOCK_FILE, ReleaseLock
from embedlib.index.release_parts import remember, require_whole
from embedlib.index.retention import previous
from embedlib.index.snapshot import Encoders, Snapshot
from embedlib.index.verify import Checks, failed, missed_canaries, verify_index
from embedlib.integrity import Checksums, sealed
from embedlib.models.encoder import Encoder
from embedlib.retrieval.plan import DENSE, SearchPlan, TwoStagePlan
from embedlib.vectors import Vectors, VectorsInfo

logger = logging.getLogger(__name__)

#: Parts that a run has to have seen before it puts others in their place.
REPLACED = ("corpus", "model", "reranker")


@dataclass(frozen=True)
class Terms:
    """What a publish must pass, and what is written beside it.

    Args:
        checks: Canaries and self-checks; see ``embedlib.index.verify``.
        approval: Who approved it, with a note, where approval is asked for.
        figures: Numbers shown with the release, such as the decision's.
        search: How the release is searched unless told otherwise.
        rerank: How its reranker orders the first hits anew; None without one.
        configuration: Options that the release was made with, for later runs in this workspace.
        why: For the audit trail.
        wait: Wait for another publisher; otherwise refuse.
        replaces: Digests of the parts (``REPLACED``) of the release that this was made to follow; None:
            whatever is live.
    """

    checks: Checks = field(default_factory=Checks)
    approval: Mapping[str, Any] | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)
    search: SearchPlan = DENSE
    rerank: TwoStagePlan | None = None
    configuration: Mapping[str, Any] | None = None
    why: str = ""
    wait: bool = True
    replaces: Mapping[str, str] | None = None


def publish(
    root: Path,
    *,
    corpus: ArtifactRef,
    model: ArtifactRef,
    vectors: ArtifactRef,
    index: ArtifactRef,
    event: Mapping[str, Any] | None = None,
    terms: Terms | None = None,
    **optional: ArtifactRef | None,
) -> Release:
    """Verify and make live a model with the index that was built with it.

    ``optional`` parts are ``decision``: why this model; ``reranker``: a cross-encoder that orders the first
    hits anew; and ``reranking``: the decision for that.

    Returns:
        The live release; with ``reused`` true when the same content was live already.

    Raises:
        MismatchError: The parts do not belong together.
        CorruptArtifact: A part is damaged.
        VerificationError: The index fails a check; nothing is published.
        ReleaseError: Another publisher is at work and ``terms.wait`` is false, or has made another release
            live than ``terms.replaces``.
    """
    terms = terms or Terms()
    root = Path(root)
    given = {"corpus": corpus, "model": model, "vectors": vectors, "index": index}
    refs = given | {name: ref for name in catalog.OPTIONAL if (ref := optional.get(name)) is not None}
    with publisher_lock(root, wait=terms.wait):
        checksums = Checksums()
        for ref in refs.values():
            ref.require_intact(checksums)
        parts = {name: _part(root, ref) for name, ref in refs.items()}
        live = _live(root)
        if live is not None and live.rerank == terms.rerank and _same_content(live.parts, parts):
            return _reused(root, live, terms)
        if terms.replaces is not None:
            _require_replaced(root, live, terms.replaces)
        require_matching(refs)
        documents, served = Corpus(corpus.path), terms.checks.canaries
        checks = terms.checks if terms.search == DENSE else replace(terms.checks, canaries=())
        verified = verify_index(index, Vectors(vectors.path), documents, model, checks)
        release = _described(root, parts, live, event, terms, {**verified, "canaries": len(served)})
        _write(root, release, terms.configuration)
        if served and checks is not terms.checks:
            _ask_as_served(root, release, documents, terms.checks)
        catalog.swap(root, release.number)
        remember(root, checksums)
        before = None if live is None else live.number
        record(root, "publish", before, release.number, who=user_name(), why=terms.why or None)
    logger.info("release %d is live", release.number)
    return release


def rollback(root: Path, number: int | None = None, *, why: str = "") -> Release:
    """Make an earlier release live again, by the same swap.

    Args:
        root: The workspace.
        number: Which release; the one that was live before the live one when None.
        why: For the audit trail.

    Raises:
        UserError: There is no such release.
        ReleaseError: It cannot be read, or a part of it is gone.
        MismatchError: Another artifact lies in a part's place.
        CorruptArtifact: A part is damaged.
    """
    root = Path(root)
    with publisher_lock(root):
        live = catalog.live_number(root)
        target = previous(root) if number is None else number
        if target is None:
            raise UserError(
                "there is no release to go back to",
                where=str(catalog.releases_dir(root)),
                found=f"releases {catalog.numbers(root)}, live {live}",
                remedy="name one with its number, or publish first",
            )
        if target not in catalog.numbers(root):
            raise UserError(
                f"there is no release {target}",
                where=str(catalog.releases_dir(root)),
                found=f"releases {catalog.numbers(root)}, live {live}",
                remedy="`embedlib releases` lists them",
            )
        release = catalog.read_release(root, target)
        if target == live:
            return release.model_copy(update={"reused": True})
        checksums = Checksums()
        require_whole(root, release, checksums=checksums)
        catalog.swap(root, target)
        remember(root, checksums)
        record(root, "rollback", live, target, who=user_name(), why=why or None)
    logger.info("release %d is live again", target)
    return release


def require_matching(refs: Mapping[str, ArtifactRef]) -> None:
    """Refuse a model, vectors, index, corpus and reranker that were not made from or tried with each other.

    Raises:
        MismatchError: Naming the two that differ.
    """
    made: dict[str, VectorsInfo | IndexInfo] = {
        "vectors": Vectors(refs["vectors"].path).info,
        "index": IndexInfo.read(refs["index"].path),
    }
    for name, info in made.items():
        for source, digest in (("model", info.model_digest), ("corpus", info.corpus_digest)):
            if digest != refs[source].digest:
                raise MismatchError(
                    f"this {name} artifact was made with another {source}",
                    where=str(refs[name].path),
                    expected=f"{source} {refs[source].digest}",
                    found=f"{source} {digest}",
                    remedy="encode and index this corpus with this model, then publish",
                )
    if "reranking" not in refs:
        return
    tried = Decision.read(refs["reranking"].path).models
    for name in ("model", "reranker"):
        if name not in refs or refs[name].digest != tried[name]:
            raise MismatchError(
                f"the reranker was proven with another {name}",
                where=str(refs["reranking"].path),
                expected=f"{name} {tried[name]}",
                found=f"{name} {refs[name].digest if name in refs else 'none'}",
                remedy="prove it with this one (`embedlib rerank`), or publish without a reranker",
            )


def _part(root: Path, ref: ArtifactRef) -> Part:
    part = Part(kind=ref.kind, fingerprint=ref.fingerprint, digest=ref.digest)
    if not ref.path.samefile(part.ref(root).path):
        raise ReleaseError(
            f"the {ref.kind} artifact lies outside the workspace",
            where=str(ref.path),
            expected=str(part.ref(root).path),
            remedy="publish in the workspace that holds the artifacts",
        )
    return part


def _live(root: Path) -> Release | None:
    """The live release; None, with a warning, where it cannot be read: publishing mends that."""
    number = catalog.live_number(root)
    return next((r for r in releases(root) if r.number == number), None)


def _ask_as_served(root: Path, release: Release, corpus: Corpus, checks: Checks) -> None:
    """Ask the canaries as the release will be searched, before its reranker; one that fails removes it.

    Raises:
        VerificationError: Naming each canary whose document is not found.
    """
    hold = ReleaseLock(root, release.number)
    loaded = None if checks.encoder is None else partial(_given, checks.encoder)
    try:
        snapshot = Snapshot(root, hold, Encoders(loaded))
        k = min(checks.k, len(snapshot))
        hits = snapshot.rank([query for query, _ in checks.canaries], k, snapshot.plan, None)
        missed = missed_canaries(hits, corpus, checks)
    finally:
        hold.close()
    if missed:
        shutil.rmtree(catalog.releases_dir(root) / str(release.number))
        raise failed(release.ref(root, "index"), missed)


def _given(encoder: Encoder, folder: Path) -> Encoder:
    """The encoder of a folder that is loaded already."""
    return encoder


def _require_replaced(root: Path, live: Release | None, replaces: Mapping[str, str]) -> None:
    """Refuse to take the place of a release that this one was not made to follow."""
    parts = {} if live is None else live.parts
    now = {name: parts[name].digest for name in REPLACED if name in parts}
    changed = [name for name in REPLACED if now.get(name) != replaces.get(name)]
    if changed:
        raise ReleaseError(
            f"another {changed[0]} went live while this run worked",
            where=str(root),
            found=f"release {None if live is None else live.number}",
            remedy="give the same command again: what is finished is reused, and what is live now counts",
        )


def _same_content(live: Mapping[str, Part], new: Mapping[str, Part]) -> bool:
    digests = [{name: part.digest for name, part in parts.items()} for parts in (live, new)]
    return all(digests[0].get(n) == digests[1].get(n) for n in ("corpus", "model", "index", "reranker"))


def _reused(root: Path, live: Release, terms: Terms) -> Release:
    """The live release as it is, with the configuration of now."""
    if terms.configuration is not None:
        catalog.write_configuration(catalog.releases_dir(root) / str(live.number), terms.configuration)
    return live.model_copy(update={"reused": True})


def _described(
    root: Path,
    parts: dict[str, Part],
    live: Release | None,
    event: Mapping[str, Any] | None,
    terms: Terms,
    verified: Mapping[str, Any],
) -> Release:
    return Release(
        number=_next_number(root),
        created_at=now(),
        parts=parts,
        parents=[] if live is None else [live.number],
        event=None if event is None else dict(event),
        approval=None if terms.approval is None else dict(terms.approval),
        figures={**terms.figures, "verification": verified},
        search=terms.search,
        rerank=terms.rerank,
    )


def _next_number(root: Path) -> int:
    past: list[int] = [entry["to"] for entry in history(root) if entry["to"] is not None]
    return max([0, *past, *catalog.numbers(root)]) + 1


def _write(root: Path, release: Release, configuration: Mapping[str, Any] | None) -> None:
    folder = catalog.releases_dir(root)
    temporary = folder / f"{catalog.TEMPORARY}{release.number}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    (temporary / LOCK_FILE).touch()
    (temporary / PENDING).touch()
    whole = sealed(release.model_dump(mode="json"))
    text = json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False)
    with (temporary / "release.json").open("w", encoding="utf-8") as stream:
        stream.write(text + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    if configuration is not None:
        catalog.write_configuration(temporary, configuration)
    sync(temporary)
    temporary.replace(folder / str(release.number))
    sync(folder)

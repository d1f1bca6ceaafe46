"""Publishing with the configuration's options: verify, swap, retire what is old."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embedlib.config.index import Publish
from embedlib.index.cleaning import remove_unused
from embedlib.index.release import Release, Terms, publish
from embedlib.index.retention import retire
from embedlib.index.verify import Checks
from embedlib.store import ArtifactRef, Store


def publish_release(
    root: Path,
    config: Publish,
    parts: Mapping[str, ArtifactRef | None],
    *,
    event: Mapping[str, Any] | None = None,
    approval: Mapping[str, Any] | None = None,
    figures: Mapping[str, Any] | None = None,
    why: str = "",
) -> Release:
    """Publish and then retire old releases; see ``embedlib.index.release.publish``.

    Args:
        root: The workspace.
        config: Canaries, self-checks, retention.
        parts: ``corpus``, ``model``, ``vectors``, ``index`` and, unless None, ``decision``.
        event: What triggered it.
        approval: Who approved it and when.
        figures: Numbers kept with the release.
        why: For the audit trail.
    """
    checks = Checks(
        canaries=tuple((c.query, c.doc_id) for c in config.canaries),
        k=config.canary_k,
        self_checks=config.self_checks,
    )
    terms = Terms(
        checks=checks,
        approval=approval,
        figures=figures or {},
        search=best_search(parts),
        why=why,
        wait=config.wait,
    )
    given = {name: ref for name, ref in parts.items() if ref is not None}
    release = publish(root, **given, event=event, terms=terms)
    retire(root, keep=config.keep, max_age_days=config.max_age_days)
    if config.artifact_days is not None:
        remove_unused(Store(root), older_than_days=config.artifact_days)
    return release


def best_search(parts: Mapping[str, ArtifactRef | None]) -> str:
    """How the model is searched with best, by the decision; ``dense`` where that says nothing of it."""
    model, decision = parts["model"], parts.get("decision")
    if model is None or decision is None:
        return "dense"
    record = decision.read_json("decision.json")
    search: dict[str, str] = record.get("search", {})
    names = [name for name, digest in record.get("models", {}).items() if digest == model.digest]
    return next((search[name] for name in names if name in search), "dense")

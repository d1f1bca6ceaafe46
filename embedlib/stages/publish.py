"""Publishing with the configuration's options: verify, swap, retire what is old."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from embedlib.artifact import ArtifactRef
from embedlib.config.index import Publish
from embedlib.contracts import Corpus, Document
from embedlib.errors import UserError
from embedlib.evaluation.records import Decision
from embedlib.index.catalog import Release
from embedlib.index.release import REPLACED, Terms, publish
from embedlib.index.retention import remove_unused, retire
from embedlib.index.verify import Checks
from embedlib.retrieval.plan import DENSE, SearchPlan, TwoStagePlan
from embedlib.store import Store

#: Columns that tell which documents a corpus holds: chunks by their own id, and by their document's.
IDS = ("doc_id", "group_id")
#: Share of the live release's documents below which others are taken for the wrong collection.
LEAST_SHARED = 0.1
#: Shared ids whose texts are compared, at most.
SAMPLED = 200
#: Share of the shorter text's words that documents of one id have in common.
ALIKE = 0.5


def publish_release(  # noqa: PLR0913 - an argument a part of the record
    root: Path,
    config: Publish,
    parts: Mapping[str, ArtifactRef | None],
    *,
    event: Mapping[str, Any] | None = None,
    approval: Mapping[str, Any] | None = None,
    figures: Mapping[str, Any] | None = None,
    configuration: Mapping[str, Any] | None = None,
    why: str = "",
    replaces: Mapping[str, ArtifactRef] | None = None,
) -> Release:
    """Publish and then retire old releases; see ``embedlib.index.release.publish``.

    ``parts`` are ``corpus``, ``model``, ``vectors``, ``index`` and, unless None, ``decision``, ``reranker``
    and ``reranking``; ``replaces`` are those of the release that this is to follow, None: of any.
    """
    terms = Terms(
        checks=checks_of(config),
        approval=approval,
        figures=figures or {},
        search=best_search(parts),
        rerank=proven_reranking(parts),
        configuration=configuration,
        why=why,
        wait=config.wait,
        replaces=None if replaces is None else {n: replaces[n].digest for n in REPLACED if n in replaces},
    )
    given = {name: ref for name, ref in parts.items() if ref is not None}
    release = publish(root, **given, event=event, terms=terms)
    retire(root, keep=config.keep, max_age_days=config.max_age_days)
    if config.artifact_days is not None:
        remove_unused(Store(root), older_than_days=config.artifact_days)
    return release


def checks_of(config: Publish) -> Checks:
    """What an index must pass."""
    return Checks(
        canaries=tuple((c.query, c.doc_id) for c in config.canaries), self_checks=config.self_checks
    )


def require_same_collection(config: Publish, live: ArtifactRef, corpus: ArtifactRef) -> None:
    """Refuse documents that are not those of the live release in another state.

    Chunks of one document count as that document, so that another chunk length is no other collection.
    Ids alone do not tell where they are numbers: of a sample that both have, the texts have to be alike.

    Raises:
        UserError: With both numbers.
    """
    if config.replace_documents or live.digest == corpus.digest:
        return
    before, now = (Corpus(ref.path) for ref in (live, corpus))
    rows = [(_first_rows(before.column(n)), _first_rows(now.column(n))) for n in IDS]
    old, new = max(rows, key=lambda pair: len(pair[0].keys() & pair[1]) / len(pair[0]))
    both = sorted(old.keys() & new)
    shared = len(both) / len(old)
    if shared < LEAST_SHARED:
        raise _other_documents(
            "",
            expected=f"at least {LEAST_SHARED:.0%} of the live release's {len(before)} documents",
            found=f"{shared:.1%} of them among the {len(now)} documents read",
        )
    ids = both[:: -(-len(both) // SAMPLED)]
    pairs = zip(before.take([old[i] for i in ids]), now.take([new[i] for i in ids]), strict=True)
    kept = sum(_same_document(a, b) for a, b in pairs) / len(ids)
    if kept < LEAST_SHARED:
        raise _other_documents(
            ", under the same ids",
            expected=f"at least {LEAST_SHARED:.0%} of the shared ids with much the same text as before",
            found=f"{kept:.1%} of {len(ids)} that were compared",
        )


def _other_documents(how: str, *, expected: str, found: str) -> UserError:
    return UserError(
        f"these are other documents than the live release's{how}",
        where="ingest.source",
        expected=expected,
        found=found,
        remedy="check --data and --workspace; to put these in their place, add --replace-documents",
    )


def _first_rows(ids: Sequence[str]) -> dict[str, int]:
    return {name: row for row, name in reversed(list(enumerate(ids)))}


def _same_document(before: Document, now: Document) -> bool:
    """Whether most words of the shorter text stand in the other: edited, cut or lengthened, it keeps them."""
    first, second = (set(f"{d.title} {d.text}".lower().split()) for d in (before, now))
    return len(first & second) >= ALIKE * min(len(first), len(second))


def best_search(parts: Mapping[str, ArtifactRef | None]) -> SearchPlan:
    """How the model is searched with best, by the decision; by vectors where that says nothing of it."""
    model, decision = parts["model"], parts.get("decision")
    if model is None or decision is None:
        return DENSE
    return Decision.read(decision.path).plan_of(model.digest) or DENSE


def proven_reranking(parts: Mapping[str, ArtifactRef | None]) -> TwoStagePlan | None:
    """How the reranker orders the first hits anew, by its decision; None without one."""
    reranking = parts.get("reranking")
    return None if reranking is None else Decision.read(reranking.path).rerank

"""A reranker behind what is served: trained, tried with it, and part of the release if it is proven."""

from __future__ import annotations

from collections.abc import Mapping

from embedlib.artifact import ArtifactRef
from embedlib.config.root import Config
from embedlib.evaluation.records import Decision
from flows.proof import Data, Encoded
from tasks import stages
from tasks.context import RunContext

#: Parts of a release that belong to its model.
PARTS = ("reranker", "reranking")


def reranked(
    run: RunContext,
    config: Config,
    data: Data,
    base: Encoded,
    served: Encoded,
    material: Mapping[str, ArtifactRef],
    why: ArtifactRef | None,
) -> dict[str, ArtifactRef]:
    """A reranker trained on lists from the served model's own hits, and whether it is served with it."""
    lists = {name: material[name] for name in ("pairs", "probe")}
    examples = stages.mine(
        run, config.mine.for_reranker, "reranker", **data._asdict(), **served._asdict(), **lists
    )
    start = {"base": base.model, "served": served.model}.get(config.rerank.start or "")
    reranker = stages.reranker(run, config.rerank.training, **data._asdict(), examples=examples, model=start)
    sparse = stages.sparse(run, config.sparse, corpus=data.corpus)
    inputs = {**data._asdict(), **served._asdict(), "reranker": reranker, "decision": why, "sparse": sparse}
    reranking = stages.reranking(run, config.reranking, **inputs)
    return {"reranker": reranker, "reranking": reranking}


def kept_reranker(live: Mapping[str, ArtifactRef], served: Encoded) -> dict[str, ArtifactRef]:
    """The live release's reranker, for a release of the same model."""
    same = live["model"].digest == served.model.digest
    return {name: live[name] for name in PARTS if same and name in live}


def proven_parts(parts: Mapping[str, ArtifactRef]) -> dict[str, ArtifactRef]:
    """The reranker's parts of a release where its decision is to serve it; none otherwise."""
    is_proven = "reranking" in parts and Decision.read(parts["reranking"].path).verdict == "promote"
    return {name: parts[name] for name in PARTS} if is_proven else {}

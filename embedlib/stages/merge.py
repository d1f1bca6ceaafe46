"""Interpolate the tuned model with the base."""

from __future__ import annotations

from embedlib.artifact import ArtifactRef
from embedlib.config.training import Merge
from embedlib.evaluation.records import MergeChoice
from embedlib.stages.base import Job, Stage, Summary


def run(
    job: Job,
    config: Merge,
    *,
    corpus: ArtifactRef,
    queries: ArtifactRef,
    base: ArtifactRef,
    tuned: ArtifactRef,
) -> Summary:
    """Score each share on dev and write the model of the chosen one, with ``merge.json``."""
    from embedlib.training.loop import dev_score, read_dev
    from embedlib.training.merge import choose_share, merge_weights, merged_encoder

    dev = read_dev({"corpus": corpus.path, "queries": queries.path}, job.seed)
    figures: dict[float, float] = {}
    for number, share in enumerate(config.shares):
        if dev is not None:
            figures[share] = dev_score(dev, merged_encoder(base.path, tuned.path, share), bf16=False)[0]
        job.progress(number + 1, len(config.shares), "merge shares")
    chosen = choose_share(figures, tolerance=config.tolerance) if figures else config.shares[0]
    parents = {"base_digest": base.digest, "tuned_digest": tuned.digest}
    merge_weights(base.path, tuned.path, chosen, job.out, parents)
    tried = [{"share": share, "dev": value} for share, value in figures.items()]
    MergeChoice(chosen=chosen, tried=tried).write(job.out)
    return {"share": chosen, **{f"dev_{share}": value for share, value in figures.items()}}


STAGE = Stage("merge", "model", run)

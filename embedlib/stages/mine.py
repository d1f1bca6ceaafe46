"""Stage ``mine``: hard negatives for every pair, false ones filtered out, with a teacher's scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from embedlib.config.pairs import Mine
from embedlib.contracts import Corpus, Vectors
from embedlib.mining.examples import Plan, mine_examples
from embedlib.mining.filters import Thresholds
from embedlib.mining.known import KnownPositives
from embedlib.mining.miner import Rules
from embedlib.mining.pairs import MiningPairs, read_pairs
from embedlib.models.local import load_encoder
from embedlib.stages.base import Job, Stage
from embedlib.store import ArtifactRef, Work


def run(
    job: Job,
    config: Mine,
    *,
    corpus: ArtifactRef,
    queries: ArtifactRef,
    pairs: ArtifactRef,
    model: ArtifactRef,
    vectors: ArtifactRef,
    probe: ArtifactRef | None = None,
) -> Mapping[str, Any]:
    """Write examples.parquet, report.json, samples.json and, for the hybrid, the teacher."""
    documents, stored = Corpus(corpus.path), Vectors(vectors.path)
    stored.require_model(model.digest)
    kept = None if probe is None else probe.read_json("probe.json")["kept"]
    mining = read_pairs(pairs.path, documents, kept)
    known = KnownPositives()
    known.add_judgements(queries.path, documents.row_of)
    encoder = load_encoder(model.path)
    return mine_examples(
        Work(job.out, job.scratch),
        mining,
        known,
        documents,
        stored,
        _plan(config, mining, job),
        encoder,
        progress=job.progress,
    )


def resolved_teacher(config: Mine, pairs: MiningPairs) -> str:
    """``auto`` made definite: the hybrid where less than half of the pairs are labelled."""
    if config.teacher != "auto":
        return config.teacher
    labelled = sum(pair.origin == "label" for pair in pairs.pairs)
    return "hybrid" if labelled * 2 < len(pairs.pairs) else "none"


def _plan(config: Mine, pairs: MiningPairs, job: Job) -> Plan:
    teacher = resolved_teacher(config, pairs)
    relative = config.relative_margin
    if relative == "auto":
        relative = 0.05 if teacher == "none" else None
    how = config.sampling if config.sampling != "auto" else "top" if teacher == "none" else "random"
    thresholds = Thresholds(
        config.absolute_margin, relative, config.max_score, config.min_score, config.skip_ranks
    )
    return Plan(
        rules=Rules(config.miners, config.depth, config.near_duplicate, thresholds),
        negatives=config.negatives,
        how=how,
        sample_from=config.sample_from,
        minimum=config.minimum,
        cross_encoder=config.cross_encoder,
        teacher=teacher,
        teacher_model=config.teacher_model,
        batch_queries=config.batch_queries,
        seed=job.seed,
    )


STAGE = Stage("mine", "examples", run)

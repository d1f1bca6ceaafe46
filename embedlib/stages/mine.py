"""Stage ``mine``: hard negatives for every pair, false ones filtered out, with a teacher's scores."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial

from embedlib.artifact import ArtifactRef
from embedlib.config.pairs import Mine, Teacher
from embedlib.contracts import Corpus
from embedlib.evaluation.dev import DevSet
from embedlib.mining.examples import mine_examples
from embedlib.mining.known_positives import KnownPositives
from embedlib.mining.options import Draw, MiningPlan, Rules, Thresholds
from embedlib.mining.pairs import MiningPairs, read_pairs
from embedlib.mining.teacher_check import TeacherCheck, check_teacher
from embedlib.models.encoder import Encoder
from embedlib.models.local import load_encoder
from embedlib.models.resolve import model_digests
from embedlib.pairs.report import ProbeResult
from embedlib.stages.base import Job, Stage, Summary
from embedlib.store import Work
from embedlib.vectors import Vectors

logger = logging.getLogger(__name__)


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
) -> Summary:
    """Write examples.parquet, report.json, samples.json and, for the hybrid, the teacher."""
    documents, stored = Corpus(corpus.path), Vectors(vectors.path)
    stored.require_model(model.digest)
    kept = None if probe is None else ProbeResult.read(probe.path).kept
    mining = read_pairs(pairs.path, documents, kept)
    known = KnownPositives()
    known.add_judgements(queries.path, documents)
    encoder = load_encoder(model.path)
    teacher, check = config.teacher, None
    if teacher == "auto":
        read_dev = partial(DevSet.read, documents, queries.path, rng=job.generator("dev"))
        teacher, check = chosen_teacher(mining, read_dev, encoder, stored)
    summary = mine_examples(
        Work(job.out, job.scratch),
        mining,
        known,
        documents,
        stored,
        _plan(config, teacher, job),
        encoder,
        progress=job.progress,
    )
    if check is None:
        return summary
    return {**summary, "dev_student": round(check.student, 4), "dev_hybrid": round(check.hybrid, 4)}


def chosen_teacher(
    pairs: MiningPairs, read_dev: Callable[[], DevSet | None], encoder: Encoder, vectors: Vectors
) -> tuple[Teacher, TeacherCheck | None]:
    """Resolve ``auto``: the hybrid where most pairs lack labels and people's dev queries speak for it.

    Without their word the pairs teach by themselves, each document against the batch's others: alone, the
    model gained more by that than by the hybrid's soft scores on two collections judged by people and on
    docstrings, and less on a third, whose people's dev queries speak for the hybrid.
    """
    labelled = sum(pair.origin == "label" for pair in pairs.pairs)
    if labelled * 2 >= len(pairs.pairs):
        return "none", None
    dev = read_dev()
    if dev is None or dev.rows is None or dev.name == "derived":
        return "none", None
    check = check_teacher(dev, encoder, vectors.take(dev.rows))
    logger.info(
        "dev nDCG@10 of the model %.4f, of its hybrid with BM25 %.4f (%d queries): %s",
        *check,
        "the hybrid teaches" if check.may_teach else "no teacher",
    )
    return ("hybrid" if check.may_teach else "none"), check


def _plan(config: Mine, teacher: Teacher, job: Job) -> MiningPlan:
    relative = config.relative_margin
    if relative == "auto":
        relative = 0.05 if teacher == "none" else None
    how = config.sampling if config.sampling != "auto" else "top" if teacher == "none" else "random"
    thresholds = Thresholds(
        config.absolute_margin, relative, config.max_score, config.min_score, config.skip_ranks
    )
    return MiningPlan(
        rules=Rules(config.miners, config.depth, config.near_duplicate, thresholds),
        draw=Draw(config.negatives, how, config.sample_from),
        cross_encoder=config.cross_encoder,
        teacher=teacher,
        teacher_model=config.teacher_model,
        seed=job.seed,
    )


def external(config: Mine) -> Mapping[str, str]:
    """Digests of the models that score, read from outside the store."""
    return model_digests(cross_encoder=config.cross_encoder, teacher_model=config.teacher_model)


STAGE = Stage("mine", "examples", run, external)

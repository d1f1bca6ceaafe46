"""From pairs to training examples: block after block, resumable, then one table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from embedlib.contracts import EXAMPLES, Corpus, document_text, write_table
from embedlib.json_file import SAMPLES, write_json
from embedlib.mining.blocks import Block, Draw, draw_block
from embedlib.mining.known_positives import KnownPositives, text_classes
from embedlib.mining.miner import ORIGINS, Rules, Sources, mine
from embedlib.mining.pairs import MiningPairs, QueryBlock
from embedlib.mining.report import MiningCounts, example_samples
from embedlib.mining.sampling import Sampling
from embedlib.mining.scoring import NoTeacher, Teacher, make_teacher
from embedlib.mining.storing import store_teacher
from embedlib.models.encoder import Encoder
from embedlib.pairs.filters import mean_cosine
from embedlib.progress import Progress
from embedlib.retrieval.bm25 import build_bm25
from embedlib.retrieval.hits import NO_ROW
from embedlib.retrieval.moments import vector_moments
from embedlib.retrieval.rerank import load_cross_encoder
from embedlib.store import Work
from embedlib.vectors import Vectors

#: Documents whose mean cosine stands for the background of near-duplicates.
BACKGROUND_SAMPLE = 4096


@dataclass(frozen=True)
class MiningPlan:
    """How examples are made; the fields are the configuration's, with ``auto`` resolved."""

    rules: Rules
    negatives: int = 7
    how: Sampling = "top"
    sample_from: int = 40
    minimum: int = 1
    cross_encoder: str | None = None
    teacher: str = "none"
    teacher_model: str | None = None
    batch_queries: int = 2048
    seed: int = 0


def mine_examples(
    work: Work,
    pairs: MiningPairs,
    known: KnownPositives,
    documents: Corpus,
    vectors: Vectors,
    plan: MiningPlan,
    encoder: Encoder,
    *,
    progress: Progress,
) -> dict[str, Any]:
    """Mine every pair and write the examples artifact's files.

    Args:
        work: ``out`` takes examples.parquet, report.json, samples.json and teacher/; finished
            blocks wait in ``scratch``, and those found there are not mined again.
        pairs: What to mine for.
        known: Documents that are no negatives; the pairs' own are added.
        documents: The corpus.
        vectors: Its vectors by ``encoder``.
        plan: How.
        encoder: Encodes the queries.
        progress: Progress callback: queries mined.

    Returns:
        A summary.
    """
    for query, row in zip(pairs.query, pairs.rows, strict=True):
        known.add(pairs.queries[int(query)], [int(row)])
    sources = make_sources(documents, vectors, plan)
    paths = []
    for block in pairs.blocks(plan.batch_queries):
        paths.append(work.scratch / f"block-{block.number:06d}.npz")
        if not paths[-1].is_file():
            _mine_block(block, pairs, known, sources, plan, encoder).save(paths[-1])
        done = min((block.number + 1) * plan.batch_queries, len(pairs.queries))
        progress(done, len(pairs.queries), "queries mined")
    if plan.teacher == "hybrid":
        store_teacher(work.out / "teacher", paths, pairs, vectors, sources.bm25)
    teacher = make_teacher(plan.teacher, plan.teacher_model, documents, work)
    counts = MiningCounts(plan.minimum, teacher.name if plan.teacher != "none" else _ranked_by(plan))
    write_table(work.out / "examples.parquet", _rows(paths, pairs, documents, teacher, counts), EXAMPLES)
    report = counts.report(plan.teacher, plan.how)
    report.write(work.out)
    samples = example_samples([Block.load(paths[0])], pairs.pairs, pairs.rows, documents)
    write_json(work.out / SAMPLES, samples)
    return report.summary()


def make_sources(documents: Corpus, vectors: Vectors, plan: MiningPlan) -> Sources:
    """Everything that candidates are taken from and scored with."""
    lexical = "bm25" in plan.rules.miners or plan.teacher == "hybrid"
    sampled = np.linspace(0, len(documents) - 1, min(len(documents), BACKGROUND_SAMPLE)).astype(np.int64)
    return Sources(
        blocks=vectors.blocks,
        vectors_of=vectors.take,
        classes=text_classes(documents.column("content_hash")),
        bm25=build_bm25(documents.texts(), engine="bm25s") if lexical else None,
        moments=vector_moments(vectors.blocks()) if lexical else None,
        cross_encoder=load_cross_encoder(plan.cross_encoder) if plan.cross_encoder else None,
        texts_of=lambda rows: [document_text(d.title, d.text) for d in documents.take(rows)],
        background=mean_cosine(vectors.take(sampled)),
    )


def _mine_block(
    block: QueryBlock,
    pairs: MiningPairs,
    known: KnownPositives,
    sources: Sources,
    plan: MiningPlan,
    encoder: Encoder,
) -> Block:
    vectors = encoder.encode_queries(block.texts)
    mined = mine(block.texts, vectors, known.of(block.texts), sources, plan.rules)
    draw = Draw(plan.negatives, plan.how, plan.sample_from)
    rng = np.random.default_rng([plan.seed, block.number])
    return draw_block(mined, vectors, block.pairs, block.query, pairs.rows[block.pairs], draw, rng)


def _rows(
    paths: Sequence[Path], pairs: MiningPairs, documents: Corpus, teacher: Teacher, counts: MiningCounts
) -> Iterator[dict[str, Any]]:
    """The rows of examples.parquet, one block in memory at a time."""
    start = 0
    for path in paths:
        block = Block.load(path)
        queries = [pairs.pairs[int(p)].query for p in block.pairs]
        positive, scores = teacher.block_scores(start, queries, pairs.rows[block.pairs], block)
        counts.add(block, positive, scores)
        taught = not isinstance(teacher, NoTeacher)
        for i, position in enumerate(block.pairs.tolist()):
            pair = pairs.pairs[position]
            present = np.flatnonzero(block.negatives[i] != NO_ROW)
            yield {
                "query_id": pair.query_id,
                "query": pair.query,
                "positive_id": pair.doc_id,
                "origin": pair.origin,
                "negative_ids": [documents.ids[row] for row in block.negatives[i, present].tolist()],
                "origins": [ORIGINS[bit] for bit in block.miners[i, present].tolist()],
                "scores": block.scores[i, present].tolist(),
                "teacher_positive": float(positive[i]) if taught else None,
                "teacher_scores": scores[i, present].tolist() if taught else None,
            }
        start += len(block.pairs)


def _ranked_by(plan: MiningPlan) -> str:
    """Whose scores order the candidates when nobody teaches."""
    if plan.cross_encoder:
        return "cross-encoder"
    return "hybrid" if len(set(plan.rules.miners)) > 1 else plan.rules.miners[0]

"""From pairs to training examples: block after block, resumable, then one table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from embedlib.contracts import EXAMPLES, Corpus, Rows, write_table
from embedlib.errors import DataError
from embedlib.json_file import SAMPLES, write_json
from embedlib.mining.blocks import Block, draw_block
from embedlib.mining.known_positives import KnownPositives, text_classes
from embedlib.mining.miner import ORIGINS, Sources, mine
from embedlib.mining.options import MiningPlan
from embedlib.mining.pairs import MiningPairs, QueryBlock
from embedlib.mining.report import MiningCounts, example_samples
from embedlib.mining.scoring import BlockScores, teacher_scores
from embedlib.mining.teacher import HybridTeacher, TeacherDocuments, TeacherQueries, term_counts
from embedlib.models.encoder import Encoder
from embedlib.pairs.filters import mean_cosine
from embedlib.progress import Progress
from embedlib.retrieval.bm25 import BM25Index, SparseEngine, build_bm25
from embedlib.retrieval.hits import NO_ROW
from embedlib.retrieval.moments import vector_moments
from embedlib.retrieval.rerank import load_cross_encoder
from embedlib.retrieval.tokens import words
from embedlib.store import Work
from embedlib.vectors import Vectors

#: Documents whose mean cosine stands for the background of near-duplicates.
BACKGROUND_SAMPLE = 4096
#: Queries mined at once; a killed run resumes after the last finished batch.
BATCH_QUERIES = 2048


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

    ``work.out`` takes examples.parquet, report.json, samples.json and teacher/; finished blocks wait in
    ``work.scratch``, and those found there are not mined again. The pairs' own documents are added to
    ``known``, which are no negatives.

    Returns:
        A summary.
    """
    for query, row in zip(pairs.query, pairs.rows, strict=True):
        known.add(pairs.queries[int(query)], [int(row)])
    sources = make_sources(documents, vectors, plan)
    paths = []
    for block in pairs.blocks(BATCH_QUERIES):
        paths.append(work.scratch / f"block-{block.number:06d}.npz")
        if not paths[-1].is_file():
            _mine_block(block, pairs, known, sources, plan, encoder).save(paths[-1])
        done = min((block.number + 1) * BATCH_QUERIES, len(pairs.queries))
        progress(done, len(pairs.queries), "queries mined")
    if plan.teacher == "hybrid":
        _store_teacher(work.out / "teacher", paths, pairs, vectors, sources.bm25)
    counts = MiningCounts(plan.teacher if plan.teacher != "none" else _ranked_by(plan))
    score = teacher_scores(plan.teacher, plan.teacher_model, documents, work)
    rows = _rows(paths, pairs, documents, score, counts, taught=plan.teacher != "none")
    write_table(work.out / "examples.parquet", rows, EXAMPLES)
    report = counts.report(plan.teacher, plan.draw.how)
    report.write(work.out)
    samples = example_samples(Block.load(paths[0]), pairs.pairs, pairs.rows, documents)
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
        bm25=build_bm25(documents.texts()) if lexical else None,
        moments=vector_moments(vectors.blocks()) if lexical else None,
        cross_encoder=load_cross_encoder(plan.cross_encoder) if plan.cross_encoder else None,
        texts_of=documents.texts_at,
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
    rng = np.random.default_rng([plan.seed, block.number])
    return draw_block(mined, vectors, block.pairs, block.query, pairs.rows[block.pairs], plan.draw, rng)


def _rows(
    paths: Sequence[Path],
    pairs: MiningPairs,
    documents: Corpus,
    score: BlockScores,
    counts: MiningCounts,
    *,
    taught: bool,
) -> Iterator[dict[str, Any]]:
    """The rows of examples.parquet, one block in memory at a time."""
    start = 0
    for path in paths:
        block = Block.load(path)
        queries = [pairs.pairs[int(p)].query for p in block.pairs]
        positive, scores = score(start, queries, pairs.rows[block.pairs], block)
        counts.add(block, positive, scores)
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


def _store_teacher(
    folder: Path, paths: Sequence[Path], pairs: MiningPairs, vectors: Vectors, bm25: BM25Index | None
) -> None:
    """Put the hybrid teacher beside the examples: what it needs of their queries and documents, no more."""
    if bm25 is None or not isinstance(bm25.engine, SparseEngine):
        raise DataError("the hybrid teacher needs a BM25 index by bm25s", where=str(folder))
    query_of_example, query_vectors, moments, rows = _gather(paths, pairs)
    weights = bm25.engine.weights()
    counts = [bm25.engine.term_numbers(words(query)) for query in pairs.queries]
    queries = TeacherQueries(query_vectors, term_counts(counts, weights.shape[1]), moments)
    documents = TeacherDocuments(rows, vectors.take(rows), weights[rows])
    HybridTeacher(query_of_example, queries, documents).save(folder)


def _gather(paths: Sequence[Path], pairs: MiningPairs) -> tuple[Rows, np.ndarray, np.ndarray, Rows]:
    """Each example's query, the query vectors and moments in query order, and the rows that occur."""
    query, vectors, moments, used = [], [], [], [np.empty(0, dtype=np.int64)]
    for path in paths:
        block = Block.load(path)
        query.append(pairs.query[block.pairs])
        vectors.append(block.vectors)
        moments.append(block.moments)
        used.append(np.unique(np.concatenate([pairs.rows[block.pairs], block.negatives.ravel()])))
    rows = np.unique(np.concatenate(used))
    return (np.concatenate(query), np.concatenate(vectors), np.concatenate(moments), rows[rows != NO_ROW])

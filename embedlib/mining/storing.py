"""Put the hybrid teacher beside the examples: what it needs of their queries and documents, no more."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from embedlib.contracts import Rows
from embedlib.errors import DataError
from embedlib.mining.blocks import Block
from embedlib.mining.pairs import MiningPairs
from embedlib.mining.teacher import HybridTeacher, TeacherDocuments, TeacherQueries, term_counts
from embedlib.retrieval.bm25 import BM25Index, SparseEngine
from embedlib.retrieval.hits import NO_ROW
from embedlib.retrieval.moments import Moments
from embedlib.retrieval.tokens import words
from embedlib.vectors import Vectors


def store_teacher(
    folder: Path, paths: Sequence[Path], pairs: MiningPairs, vectors: Vectors, bm25: BM25Index | None
) -> None:
    """Write the teacher's folder.

    Args:
        folder: ``teacher/`` in the artifact.
        paths: Every block, in order.
        pairs: All pairs.
        vectors: The corpus vectors.
        bm25: The corpus's index, by bm25s.

    Raises:
        DataError: There is no such index.
    """
    if bm25 is None or not isinstance(bm25.engine, SparseEngine):
        raise DataError("the hybrid teacher needs a BM25 index by bm25s", where=str(folder))
    query_of_example, query_vectors, moments, rows = _gather(paths, pairs)
    weights = bm25.engine.weights()
    counts = [bm25.engine.term_numbers(words(query)) for query in pairs.queries]
    queries = TeacherQueries(
        query_vectors,
        term_counts(counts, weights.shape[1]),
        Moments(moments[:, 0], moments[:, 1]),
        Moments(moments[:, 2], moments[:, 3]),
    )
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

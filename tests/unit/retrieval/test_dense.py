from __future__ import annotations

import numpy as np
import pytest

from embedlib.errors import DataError
from embedlib.retrieval.dense import exact_search


def blocks(vectors: np.ndarray, size: int):
    return [(i, vectors[i : i + size]) for i in range(0, len(vectors), size)]


def naive(queries: np.ndarray, vectors: np.ndarray, k: int) -> np.ndarray:
    scores = queries @ vectors.T
    return np.stack([np.lexsort((np.arange(len(vectors)), -row))[:k] for row in scores])


def test_ties_are_ordered_by_row_across_blocks() -> None:
    vectors = np.ones((10, 2), dtype=np.float32)
    hits = exact_search(np.ones((1, 2), np.float32), blocks(vectors, 3), 4)
    assert hits.rows.tolist() == [[0, 1, 2, 3]]
    assert hits.scores.tolist() == [[2.0] * 4]


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
@pytest.mark.parametrize("k", [1, 10, 100])
def test_same_hits_for_every_block_size(size: int, k: int) -> None:
    rng = np.random.default_rng(1)
    # whole numbers: sums are exact, so ties are many and real
    vectors = rng.integers(-2, 3, (500, 6)).astype(np.float32)
    queries = rng.integers(-2, 3, (20, 6)).astype(np.float32)
    assert (exact_search(queries, blocks(vectors, size), k).rows == naive(queries, vectors, k)).all()


def test_fewer_documents_than_k_leaves_empty_places() -> None:
    hits = exact_search(np.eye(2, dtype=np.float32), [(0, np.eye(2, dtype=np.float32))], 3)
    assert hits.rows.tolist() == [[0, 1, -1], [1, 0, -1]]
    assert hits.scores[0].tolist() == [1.0, 0.0, -np.inf]


def test_more_queries_than_a_chunk() -> None:
    rng = np.random.default_rng(2)
    vectors = rng.standard_normal((300, 8)).astype(np.float32)
    queries = rng.standard_normal((1100, 8)).astype(np.float32)
    assert (exact_search(queries, blocks(vectors, 128), 5).rows == naive(queries, vectors, 5)).all()


def test_nan_is_refused_with_its_row() -> None:
    vectors = np.ones((5, 2), dtype=np.float32)
    vectors[3, 1] = np.nan
    with pytest.raises(DataError, match="document row 3"):
        exact_search(np.ones((1, 2), np.float32), blocks(vectors, 2), 1)
    with pytest.raises(DataError, match="query row 0"):
        exact_search(np.full((1, 2), np.inf, np.float32), blocks(np.ones((5, 2), np.float32), 2), 1)


def test_dimension_mismatch_is_refused() -> None:
    with pytest.raises(DataError, match="differ in dimension"):
        exact_search(np.ones((1, 3), np.float32), [(0, np.ones((2, 2), np.float32))], 1)


def test_blocks_out_of_order_are_refused() -> None:
    block = np.ones((2, 2), np.float32)
    with pytest.raises(DataError, match="out of order"):
        exact_search(np.ones((1, 2), np.float32), [(2, block), (0, block)], 1)

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


@pytest.mark.parametrize("first_pass", [False, True])
@pytest.mark.parametrize("size", [1, 7, 64, 1000])
@pytest.mark.parametrize("k", [1, 10, 100])
def test_same_hits_for_every_block_size(
    size: int, k: int, first_pass: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embedlib.retrieval.dense.BLOCK", 128)  # several blocks, joined and cut
    rng = np.random.default_rng(1)
    # whole numbers: sums are exact, so ties are many and real
    vectors = rng.integers(-2, 3, (500, 6)).astype(np.float32)
    queries = rng.integers(-2, 3, (20, 6)).astype(np.float32)
    assert (
        exact_search(queries, blocks(vectors, size), k, first_pass=first_pass).rows
        == naive(queries, vectors, k)
    ).all()


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


@pytest.mark.parametrize("scale", [1.0, 1e-3, 300.0])
def test_the_first_pass_in_bf16_changes_nothing(scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embedlib.retrieval.dense.BLOCK", 2000)
    rng = np.random.default_rng(3)
    # narrow scores: many documents lie within bf16's rounding of the k-th best
    vectors = (rng.standard_normal((10_000, 32)) * 0.1 + 1).astype(np.float32) * np.float32(scale)
    queries = rng.standard_normal((40, 32)).astype(np.float32)
    with_pass = exact_search(queries, blocks(vectors, 2000), 20, first_pass=True)
    without = exact_search(queries, blocks(vectors, 2000), 20, first_pass=False)
    np.testing.assert_allclose(with_pass.scores, without.scores, rtol=1e-5, atol=1e-5 * scale)
    assert (with_pass.rows == without.rows).mean() > 0.999


def test_the_first_pass_is_used_and_leaves_little_to_score_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from embedlib.retrieval.coarse import CoarseBlock

    monkeypatch.setattr("embedlib.retrieval.dense.BLOCK", 2000)
    rng = np.random.default_rng(4)
    vectors = rng.standard_normal((10_000, 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found: list[int] = []
    above = CoarseBlock.above

    def counting(self, part, bar):
        result = above(self, part, bar)
        found.append(len(result[0]))
        return result

    monkeypatch.setattr(CoarseBlock, "above", counting)
    exact_search(vectors[:50], blocks(vectors, 2000), 10, first_pass=True)
    assert len(found) == 5  # fifty queries are one chunk; of the blocks, all but the first
    assert 0 < sum(found) < 50 * 10 * 5


def test_the_first_pass_misses_nothing_at_the_worst_rounding() -> None:
    from embedlib.retrieval.coarse import Coarse

    half_way = np.float32(1 + 2**-8)  # bf16 steps are 2^-7 here: the largest relative error
    query, document = np.full((1, 64), half_way, np.float32), np.full((1, 64), half_way, np.float32)
    exact = query @ document.T
    below = np.nextafter(exact[0], np.float32(0))
    found = Coarse(query).of(np.repeat(document, 100, axis=0)).above(slice(0, 1), below)
    assert found is None or len(found[0]) == 100
    one = np.zeros((100, 64), np.float32)
    one[7] = document
    _, column, scores = Coarse(query).of(one).above(slice(0, 1), below)  # type: ignore[misc]
    assert column.tolist() == [7]
    np.testing.assert_allclose(scores, exact[0], rtol=1e-6)


def test_negative_zero_ties_with_zero() -> None:
    vectors = np.array([[-1.0, 0.0], [0.0, 0.0]], np.float32)
    hits = exact_search(np.array([[0.0, 1.0]], np.float32) * np.float32(-0.0), blocks(vectors, 1), 2)
    assert hits.rows.tolist() == [[0, 1]]

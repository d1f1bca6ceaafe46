from __future__ import annotations

import numpy as np
import pytest

from embedlib.errors import DataError
from embedlib.retrieval.coarse import Shortlist
from embedlib.retrieval.dense import block_of, exact_search


def blocks(vectors: np.ndarray, size: int):
    return lambda: [(i, vectors[i : i + size]) for i in range(0, len(vectors), size)]


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
    hits = exact_search(np.eye(2, dtype=np.float32), block_of(np.eye(2, dtype=np.float32)), 3)
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
        exact_search(np.ones((1, 3), np.float32), block_of(np.ones((2, 2), np.float32)), 1)


def test_blocks_out_of_order_are_refused() -> None:
    block = np.ones((2, 2), np.float32)
    with pytest.raises(DataError, match="out of order"):
        exact_search(np.ones((1, 2), np.float32), lambda: [(2, block), (0, block)], 1)


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
    monkeypatch.setattr("embedlib.retrieval.dense.BLOCK", 2000)
    rng = np.random.default_rng(4)
    vectors = rng.standard_normal((10_000, 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    listed: list[Shortlist] = []
    cut = Shortlist.cut

    def watching(self: Shortlist) -> None:
        cut(self)
        listed.append(self)

    monkeypatch.setattr(Shortlist, "cut", watching)
    exact_search(vectors[:50], blocks(vectors, 2000), 10, first_pass=True)
    (shortlist,) = listed
    assert not len(shortlist.unsure)
    assert 10 <= (shortlist._rows >= 0).sum(axis=1).mean() < 15


@pytest.mark.parametrize("sign", [1, -1])
def test_the_first_pass_misses_nothing_at_the_worst_rounding(sign: int) -> None:
    """The best document's components all round away from it by half a step, the others' towards them."""
    step = np.float32(2.0**-7)  # between bf16 numbers from 1 to 2
    just = np.float32(2.0**-12)
    best = np.full((1, 64), 1 + 0.5 * step - sign * just, np.float32)
    rest = np.full((12, 64), 1 + 0.5 * step - sign * 2 * just, np.float32)
    rest[:, ::2] += np.float32(1.5) * just  # some components round up, some down
    vectors = np.concatenate([rest, best, np.zeros((200, 64), np.float32)]) * np.float32(sign)
    query = np.full((1, 64), 1 + 0.5 * step, np.float32)
    found = exact_search(query, block_of(vectors), 3, first_pass=True)
    truth = exact_search(query, block_of(vectors), 3, first_pass=False)
    assert found.rows.tolist() == truth.rows.tolist()


def test_queries_whose_shortlist_may_be_too_short_are_searched_again() -> None:
    rng = np.random.default_rng(5)
    vectors = (1 + rng.standard_normal((3000, 64)) * 1e-4).astype(np.float32)  # bf16 tells few apart
    queries = np.ones((3, 64), np.float32)
    shortlist = Shortlist(queries, 5)
    shortlist.first(0, vectors)(slice(0, 3))
    shortlist.cut()
    assert shortlist.unsure.tolist() == [0, 1, 2]
    found = exact_search(queries, block_of(vectors), 5, first_pass=True)
    assert (found.rows == exact_search(queries, block_of(vectors), 5, first_pass=False).rows).all()


def test_negative_zero_ties_with_zero() -> None:
    vectors = np.array([[-1.0, 0.0], [0.0, 0.0]], np.float32)
    hits = exact_search(np.array([[0.0, 1.0]], np.float32) * np.float32(-0.0), blocks(vectors, 1), 2)
    assert hits.rows.tolist() == [[0, 1]]

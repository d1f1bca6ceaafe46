from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from embedlib.retrieval.bm25 import build_bm25
from embedlib.retrieval.dense import block_of, exact_search
from embedlib.retrieval.fusion import reciprocal_rank_fusion

small = st.integers(0, 3)
vectors = st.lists(st.lists(small, min_size=3, max_size=3), min_size=1, max_size=40)
texts = st.lists(st.text("abc xyz", max_size=12), min_size=1, max_size=20)


@given(vectors, st.integers(1, 8), st.integers(1, 10))
@settings(max_examples=60, deadline=None)
def test_dense_top_k_is_a_prefix_of_top_k_plus_1_for_any_block_size(
    v: list[list[int]], size: int, k: int
) -> None:
    documents = np.array(v, np.float32)
    queries = np.array([[1, 2, 1], [0, 1, 0]], np.float32)
    blocks = [(i, documents[i : i + size]) for i in range(0, len(documents), size)]
    shorter = exact_search(queries, lambda: blocks, k)
    longer = exact_search(queries, block_of(documents), k + 1)
    assert (shorter.rows == longer.rows[:, :k]).all()
    assert (shorter.scores == longer.scores[:, :k]).all()


@given(texts, st.text("abc xyz", max_size=12), st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_bm25_engines_agree_and_top_k_is_a_prefix(documents: list[str], query: str, k: int) -> None:
    documents = [*documents, "abc"]
    sparse, reference = (build_bm25(documents, engine=e) for e in ("bm25s", "rank-bm25"))
    np.testing.assert_allclose(sparse.scores(query), reference.scores(query), atol=1e-5)
    assert (sparse.search([query], k).rows == sparse.search([query], k + 1).rows[:, :k]).all()


@given(st.permutations([0, 1, 2]))
def test_fusion_does_not_depend_on_the_order_of_rankings(order: list[int]) -> None:
    v = np.random.default_rng(0).integers(0, 3, (3, 10, 4)).astype(np.float32)
    rankings = [exact_search(np.ones((2, 4), np.float32), block_of(block), 5) for block in v]
    fused = reciprocal_rank_fusion(rankings, 6)
    again = reciprocal_rank_fusion([rankings[i] for i in order], 6)
    assert (fused.rows == again.rows).all()
    np.testing.assert_allclose(fused.scores, again.scores, rtol=1e-6)

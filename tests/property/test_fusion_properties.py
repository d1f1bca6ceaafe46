"""What fusion must keep to, whatever the corpus: its two ends, and no dependence on order or batch."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from embedlib.retrieval.bm25 import build_bm25
from embedlib.retrieval.dense import block_of, exact_search
from embedlib.retrieval.fusion import Rankers
from embedlib.retrieval.lexical import lexical_scores
from embedlib.retrieval.moments import vector_moments
from embedlib.retrieval.plan import Feedback, SearchPlan

WORDS = ["red", "apple", "sky", "pie", "night", "blue"]
documents = st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=6), min_size=2, max_size=30)
queries = st.lists(
    st.lists(st.sampled_from([*WORDS, "unheard"]), min_size=1, max_size=4), min_size=1, max_size=5
)
plans = st.builds(
    SearchPlan,
    mode=st.just("hybrid"),
    weight=st.sampled_from([0.0, 0.1, 0.3, 1.0, 5.0]),
    feedback=st.none() | st.builds(Feedback, documents=st.integers(1, 3)),
)


def vectors_of(texts: list[list[str]], seed: int) -> np.ndarray:
    """Unit vectors that differ even for equal texts, so that no two scores are equal."""
    made = np.random.default_rng([seed, len(texts)]).standard_normal((len(texts), 5)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def rankers(texts: list[list[str]], vectors: np.ndarray) -> Rankers:
    bm25 = build_bm25([" ".join(words) for words in texts])
    return Rankers(
        dense=lambda q, k: exact_search(q, block_of(vectors), k),
        lexical=lambda t, k, rows: lexical_scores(bm25, t, k, rows),
        vectors_of=lambda rows: vectors[rows],
        moments=vector_moments([(0, vectors)]),
    )


@given(documents, queries, st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_weight_0_is_the_dense_ranking_and_infinite_weight_is_that_of_bm25(
    texts: list[list[str]], asked: list[list[str]], seed: int
) -> None:
    vectors, asking = vectors_of(texts, seed), vectors_of(asked, seed + 1)
    both, words = rankers(texts, vectors), [" ".join(q) for q in asked]
    dense = both.search(words, asking, len(texts), SearchPlan(mode="hybrid", weight=0.0))
    assert (dense.rows == exact_search(asking, block_of(vectors), len(texts)).rows).all()
    infinite = SearchPlan.model_construct(mode="hybrid", weight=math.inf)
    lexical = both.search(words, asking, len(texts), infinite)
    bm25 = build_bm25([" ".join(t) for t in texts]).search(words, len(texts))
    found = bm25.rows >= 0
    assert (lexical.rows[found] == bm25.rows[found]).all()


@given(documents, queries, plans, st.randoms(use_true_random=False), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_neither_the_order_of_documents_nor_the_batch_of_queries_matters(
    texts: list[list[str]], asked: list[list[str]], plan: SearchPlan, random, seed: int
) -> None:
    vectors, asking = vectors_of(texts, seed), vectors_of(asked, seed + 1)
    words = [" ".join(q) for q in asked]
    together = rankers(texts, vectors).search(words, asking, len(texts), plan)
    order = list(range(len(texts)))
    random.shuffle(order)
    moved = rankers([texts[i] for i in order], vectors[order])
    for i in range(len(asked)):
        alone = moved.search(words[i : i + 1], asking[i : i + 1], len(texts), plan)
        whole = dict(zip(together.rows[i].tolist(), together.scores[i].tolist(), strict=True))
        there = {order[row]: score for row, score in zip(alone.rows[0], alone.scores[0], strict=True)}
        assert whole.keys() == there.keys()
        for row, score in there.items():
            assert abs(whole[row] - score) < 2e-5 * max(1, abs(score))

"""Fusion by hand: z-scores over the corpus, candidates of both lists, feedback."""

from __future__ import annotations

import numpy as np
import pytest

from embedlib.errors import CorruptArtifact
from embedlib.retrieval.bm25 import build_bm25
from embedlib.retrieval.dense import block_of, exact_search
from embedlib.retrieval.fusion import Rankers, fused_scores, rankings_agree, rocchio
from embedlib.retrieval.hits import Hits
from embedlib.retrieval.lexical import lexical_scores
from embedlib.retrieval.moments import Moments, VectorMoments, vector_moments
from embedlib.retrieval.plan import Feedback, SearchPlan

TEXTS = ["red apple red", "green apple pie", "blue sky", "red sky at night", "apple", "pie pie"]
QUERIES = ["red apple", "sky pie", "unknown"]


def unit(rng: np.random.Generator, n: int) -> np.ndarray:
    v = rng.standard_normal((n, 4)).astype(np.float32)
    return v / np.linalg.norm(v, axis=1, keepdims=True)


VECTORS = unit(np.random.default_rng(0), len(TEXTS))
QUERY_VECTORS = unit(np.random.default_rng(1), len(QUERIES))
BM25 = build_bm25(TEXTS)


def rankers(**changes) -> Rankers:
    parts = {
        "dense": lambda q, k: exact_search(q, block_of(VECTORS), k),
        "lexical": lambda texts, k, rows: lexical_scores(BM25, texts, k, rows),
        "vectors_of": lambda rows: VECTORS[rows],
        "moments": vector_moments([(0, VECTORS)]),
    }
    return Rankers(**parts | changes)


def by_hand(weight: float, queries: np.ndarray = QUERY_VECTORS) -> np.ndarray:
    def z(scores):
        std = scores.std(axis=1, keepdims=True)
        return (scores - scores.mean(axis=1, keepdims=True)) / np.where(std > 0, std, 1)

    return z(queries @ VECTORS.T) + weight * z(np.stack([BM25.scores(q) for q in QUERIES]))


def check(hits: Hits, expected: np.ndarray, k: int) -> None:
    order = np.argsort(-expected, axis=1, kind="stable")[:, :k]
    assert hits.rows.tolist() == order.tolist()
    assert hits.scores == pytest.approx(np.take_along_axis(expected, order, axis=1), abs=1e-5)


@pytest.mark.parametrize("weight", [0.0, 0.3, 2.0])
def test_the_score_is_a_weighted_sum_over_the_whole_corpus(weight: float) -> None:
    hits = rankers().search(QUERIES, QUERY_VECTORS, 5, SearchPlan(mode="hybrid", weight=weight))
    check(hits, by_hand(weight), 5)


def test_an_approximate_ranking_only_proposes() -> None:
    def rough(queries: np.ndarray, k: int) -> Hits:
        hits = exact_search(queries, block_of(VECTORS), k)
        return Hits(hits.rows, np.round(hits.scores, 1) + 7)

    hits = rankers(dense=rough).search(QUERIES, QUERY_VECTORS, 4, SearchPlan(mode="hybrid"))
    check(hits, by_hand(0.3), 4)


def test_a_document_that_one_ranking_lacks_gets_its_exact_score_there() -> None:
    one = rankers(dense=lambda q, k: exact_search(q, block_of(VECTORS), 1))
    expected = by_hand(0.3)
    hits = one.search(QUERIES, QUERY_VECTORS, 6, SearchPlan(mode="hybrid"))
    for rows, scores, truth in zip(hits.rows, hits.scores, expected, strict=True):
        found = rows >= 0
        assert scores[found] == pytest.approx(truth[rows[found]], abs=1e-5)
    assert (hits.rows[0] >= 0).sum() >= 4  # "red apple": four documents share a word


def test_scores_by_shorter_vectors_have_the_moments_of_shorter_vectors() -> None:
    short = rankers(to_scores=lambda v: v[:, :2], moments=vector_moments([(0, VECTORS[:, :2])]))
    hits = short.search(QUERIES, QUERY_VECTORS, 6, SearchPlan(mode="hybrid", weight=0.0))
    dense = QUERY_VECTORS[:, :2] @ VECTORS[:, :2].T
    z = (dense - dense.mean(axis=1, keepdims=True)) / dense.std(axis=1, keepdims=True)
    check(hits, z, 6)


def test_excluded_rows_are_no_hits_and_leave_scores_as_they_are() -> None:
    hits = rankers().search(QUERIES, QUERY_VECTORS, 3, SearchPlan(mode="hybrid"), [{0}, set(), {2, 3}])
    expected = by_hand(0.3)
    expected[0, 0] = expected[2, 2] = expected[2, 3] = -np.inf
    check(hits, expected, 3)


def test_feedback_moves_a_query_towards_its_first_documents_where_the_rankings_agree() -> None:
    plan = SearchPlan(mode="hybrid", feedback=Feedback(documents=2, alpha=0.7))
    first = np.argsort(-by_hand(0.3), axis=1)[:, :2]
    moved = 0.7 * QUERY_VECTORS + 0.3 * VECTORS[first].mean(axis=1)
    moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    moved[2] = QUERY_VECTORS[2]  # BM25 knows no word of it: nothing to agree with
    hits = rankers().search(QUERIES, QUERY_VECTORS, 6, plan)
    check(hits, by_hand(0.3, moved), 6)
    assert not np.allclose(by_hand(0.3, moved)[:2], by_hand(0.3)[:2])


def test_feedback_asks_again_for_those_queries_only() -> None:
    asked: list[int] = []

    def counting(queries: np.ndarray, k: int) -> Hits:
        asked.append(len(queries))
        return exact_search(queries, block_of(VECTORS), k)

    rankers(dense=counting).search(QUERIES, QUERY_VECTORS, 3, SearchPlan(mode="hybrid", feedback=Feedback()))
    assert asked == [3, 2]


def test_feedback_keeps_the_length_of_vectors_without_unit_norm() -> None:
    moved = rocchio(np.array([[3.0, 0.0]], np.float32), np.array([[0.0, 4.0]], np.float32), 0.5)
    assert moved == pytest.approx(np.array([[3 * 0.6, 3 * 0.8]]), abs=1e-6)


def test_agreement_is_a_shared_document_among_the_first_ten() -> None:
    tens = np.arange(10, dtype=np.int64)[None]
    ranking = lambda rows: Hits(rows, np.zeros(rows.shape, np.float32))  # noqa: E731
    assert rankings_agree(ranking(tens), ranking(tens + 9)).tolist() == [True]
    assert rankings_agree(ranking(tens), ranking(tens + 10)).tolist() == [False]
    late = np.concatenate([tens + 20, tens], axis=1)
    assert rankings_agree(ranking(tens), ranking(late)).tolist() == [False]
    none = np.full((1, 10), -1)
    assert rankings_agree(ranking(none), ranking(none)).tolist() == [False]


def test_reciprocal_rank_fusion_is_one_of_the_plans() -> None:
    hits = rankers().search(["sky pie"], QUERY_VECTORS[1:2], 6, SearchPlan(mode="hybrid", fusion="rrf"))
    dense = exact_search(QUERY_VECTORS[1:2], block_of(VECTORS), 6).rows[0].tolist()
    lexical = [row for row in BM25.search(["sky pie"], 6).rows[0].tolist() if row >= 0]

    def score(row):
        return 1 / (61 + dense.index(row)) + (1 / (61 + lexical.index(row)) if row in lexical else 0)

    assert hits.scores[0] == pytest.approx([score(row) for row in hits.rows[0].tolist()], abs=1e-6)


def test_moments_are_read_back_and_a_damaged_file_is_refused(tmp_path) -> None:
    moments = vector_moments([(0, VECTORS[:2]), (2, VECTORS[2:])])
    moments.save(tmp_path / "moments.npz")
    again = VectorMoments.load(tmp_path / "moments.npz")
    assert (again.mean == moments.mean).all()
    assert (again.covariance == moments.covariance).all()
    (tmp_path / "moments.npz").write_bytes(b"PK")
    with pytest.raises(CorruptArtifact, match="moments"):
        VectorMoments.load(tmp_path / "moments.npz")


def test_moments_hold_where_all_vectors_point_much_the_same_way() -> None:
    rng = np.random.default_rng(2)
    vectors = unit(rng, 4000) * 1e-3 + np.array([1, 0, 0, 0], np.float32)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    blocks = [(i, vectors[i : i + 512]) for i in range(0, 4000, 512)]
    found = vector_moments(blocks).of_queries(vectors[:8])
    truth = vectors[:8].astype(np.float64) @ vectors.T.astype(np.float64)
    assert found.std == pytest.approx(truth.std(axis=1), rel=1e-3)
    assert found.mean == pytest.approx(truth.mean(axis=1), rel=1e-6)


def test_an_infinite_weight_leaves_the_lexical_score() -> None:
    moments = Moments(np.zeros(1, np.float32), np.ones(1, np.float32))
    lexical = np.array([[2.0, 1.0]], np.float32)
    dense = np.array([[5.0, 9.0]], np.float32)
    assert fused_scores(dense, lexical, moments, moments, float("inf")).tolist() == [[2.0, 1.0]]


def test_a_plan_says_what_it_is_and_refuses_what_it_cannot_be() -> None:
    assert str(SearchPlan(mode="hybrid", feedback=Feedback())) == "hybrid (BM25 weight 0.3, feedback)"
    assert str(SearchPlan(mode="bm25")) == "bm25"
    assert SearchPlan.model_validate_json(SearchPlan(mode="hybrid").model_dump_json()).weight == 0.3
    for wrong in ({"mode": "magic"}, {"weight": -0.1}, {"weight": float("nan")}, {"depth": 3}):
        with pytest.raises(ValueError, match="validation error"):
            SearchPlan.model_validate(wrong)

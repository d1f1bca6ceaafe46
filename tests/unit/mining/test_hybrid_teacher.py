from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from embedlib.errors import DataError
from embedlib.mining.teacher import HybridTeacher, TeacherDocuments, TeacherQueries, term_counts
from embedlib.retrieval.bm25 import build_bm25
from embedlib.retrieval.lexical import lexical_scores
from embedlib.retrieval.moments import Moments, vector_moments
from embedlib.retrieval.plan import DEFAULT_WEIGHT
from embedlib.retrieval.tokens import words

TEXTS = ["red apple red", "green apple pie", "blue sky", "red sky at night", "apple"]
QUERIES = ["red apple", "sky sky", "unknown"]
RNG = np.random.default_rng(0)
VECTORS = RNG.standard_normal((5, 4)).astype(np.float16).astype(np.float32)
QUERY_VECTORS = RNG.standard_normal((3, 4)).astype(np.float16).astype(np.float32)
INDEX = build_bm25(TEXTS)


def zscored(scores: np.ndarray) -> np.ndarray:
    std = scores.std(axis=1, keepdims=True)
    return np.where(std > 0, (scores - scores.mean(axis=1, keepdims=True)) / np.where(std > 0, std, 1), 0)


EXPECTED = zscored(QUERY_VECTORS @ VECTORS.T) + DEFAULT_WEIGHT * zscored(
    np.stack([INDEX.scores(q) for q in QUERIES])
)


def teacher(query_of_example=(0, 1, 2), rows=(0, 1, 2, 3, 4)) -> HybridTeacher:
    moments = lexical_scores(INDEX, QUERIES, 2, np.full((3, 1), -1)).moments
    dense = vector_moments([(0, VECTORS[:2]), (2, VECTORS[2:])]).of_queries(QUERY_VECTORS)
    weights = INDEX.engine.weights()
    counts = term_counts([INDEX.engine.term_numbers(words(q)) for q in QUERIES], weights.shape[1])
    queries = TeacherQueries(QUERY_VECTORS, counts, np.stack([*dense, *moments], axis=1))
    rows = np.array(rows)
    return HybridTeacher(
        np.array(query_of_example), queries, TeacherDocuments(rows, VECTORS[rows], weights[rows])
    )


def test_moments_without_all_scores_are_those_of_all_scores() -> None:
    scores = QUERY_VECTORS @ VECTORS.T
    moments = vector_moments([(0, VECTORS)]).of_queries(QUERY_VECTORS)
    assert moments.mean == pytest.approx(scores.mean(axis=1), abs=1e-6)
    assert moments.std == pytest.approx(scores.std(axis=1), abs=1e-6)


def test_scores_are_weighted_sums_of_z_scores_over_the_corpus() -> None:
    assert teacher().scores(np.arange(3), np.arange(5)) == pytest.approx(EXPECTED, abs=1e-5)


def test_targets_are_the_models_own_similarities_with_a_lexical_correction() -> None:
    dense = QUERY_VECTORS @ VECTORS.T
    lexical = zscored(np.stack([INDEX.scores(q) for q in QUERIES]))
    wanted = dense + DEFAULT_WEIGHT * dense.std(axis=1, keepdims=True) * lexical
    off = teacher().targets(np.arange(3), np.arange(5)) - wanted  # a constant a query
    assert off.std(axis=1) == pytest.approx(np.zeros(3), abs=1e-5)


def test_scores_of_some_examples_and_documents(tmp_path: Path) -> None:
    teacher((2, 0, 0, 1), (1, 3, 4)).save(tmp_path / "teacher")
    loaded = HybridTeacher.load(tmp_path / "teacher")
    got = loaded.scores(np.array([1, 3]), np.array([4, 1]))
    assert got == pytest.approx(EXPECTED[[0, 1]][:, [4, 1]], abs=1e-4)
    each = loaded.pair_scores(np.array([1, 3]), np.array([[4, 1], [3, 4]]))
    assert each == pytest.approx(np.stack([EXPECTED[0, [4, 1]], EXPECTED[1, [3, 4]]]), abs=1e-4)


def test_a_document_that_is_not_stored_is_refused() -> None:
    with pytest.raises(DataError, match="corpus row 2"):
        teacher(rows=(1, 3)).scores(np.array([0]), np.array([1, 2]))


def test_a_damaged_folder_is_refused(tmp_path: Path) -> None:
    teacher().save(tmp_path / "teacher")
    (tmp_path / "teacher" / "doc_vectors.npy").unlink()
    with pytest.raises(DataError, match="missing or damaged"):
        HybridTeacher.load(tmp_path / "teacher")


def test_moments_of_constant_scores_standardise_to_zero() -> None:
    moments = Moments(np.array([2.0], np.float32), np.array([0.0], np.float32))
    assert moments.standardise(np.array([[2.0, 2.0]], np.float32)).tolist() == [[0.0, 0.0]]

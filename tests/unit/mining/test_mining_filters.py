from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from embedlib.mining.blocks import draw_block, sample
from embedlib.mining.filters import (
    first_ranks,
    lowest_scores,
    near_duplicates,
    same_row_or_text,
    score_limits,
)
from embedlib.mining.miner import MINERS, Candidates, Mined
from embedlib.mining.options import Draw, Thresholds
from embedlib.retrieval.dense import dense_scores
from embedlib.retrieval.hits import Hits, unite

INF = np.inf


def f32(values) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def test_union_keeps_every_row_once_with_all_its_miners() -> None:
    dense = Hits(np.array([[4, 2, 7], [1, -1, -1]]), f32(np.zeros((2, 3))))
    lexical = Hits(np.array([[2, 9], [-1, -1]]), f32(np.zeros((2, 2))))
    rows, miners = unite([(MINERS["dense"], dense), (MINERS["bm25"], lexical)])
    assert rows.tolist() == [[2, 4, 7, 9], [1, -1, -1, -1]]
    assert miners.tolist() == [[3, 1, 1, 2], [1, 0, 0, 0]]


def test_dense_scores_of_given_rows() -> None:
    vectors = f32([[1, 0], [0, 1], [2, 2]])
    scores = dense_scores(f32([[1, 0], [0, 3]]), np.array([[2, -1], [1, 0]]), lambda rows: vectors[rows])
    assert scores.tolist() == [[2.0, -INF], [3.0, 0.0]]


def test_judged_documents_and_equal_texts_are_told_apart() -> None:
    classes = np.array([0, 1, 0, 2, 1])  # rows 0 and 2 are equal, and 1 and 4
    judged, same = same_row_or_text(np.array([[0, 2, 3, -1], [4, 1, 0, 2]]), np.array([[0], [4]]), classes)
    assert judged.tolist() == [[True, False, False, False], [True, False, False, False]]
    assert same.tolist() == [[False, True, False, False], [False, True, False, False]]


def test_another_query_s_positive_is_a_fine_negative() -> None:
    judged, same = same_row_or_text(np.array([[5], [5]]), np.array([[5], [6]]), np.arange(9))
    assert judged.tolist() == [[True], [False]]
    assert not same.any()


def test_a_query_without_positives() -> None:
    judged, same = same_row_or_text(np.array([[1, -1]]), np.array([[-1]]), np.arange(3))
    assert not judged.any()
    assert not same.any()


def test_near_duplicates_of_any_positive() -> None:
    vectors = f32([[1, 0], [0.99, 0.1], [0, 2], [0.1, 5], [1, 1]])
    rows, positives = np.array([[1, 3, 4, -1], [1, 3, 4, 0]]), np.array([[0, 2], [2, -1]])
    found = near_duplicates(rows, positives, lambda r: vectors[r], 0.97, chunk=1)
    assert found.tolist() == [[True, True, False, False], [False, True, False, False]]


@pytest.mark.parametrize(
    ("positive", "expected"),
    [
        # m = .05: above 0.8 - .04 = .76 is rejected
        (0.8, [True, False, False]),
        # a negative positive, as cross-encoder logits are: the bar is -4 - .2 = -4.2, not -3.8
        (-4.0, [True, True, True]),
    ],
)
def test_relative_margin_is_a_distance_below_the_positive(positive: float, expected: list[bool]) -> None:
    masks = score_limits(f32([[0.77, 0.75, -3.9]]), f32([positive]), Thresholds(relative_margin=0.05))
    assert masks["relative_margin"][0].tolist() == expected


def test_relative_margin_keeps_what_lies_below_a_negative_positive() -> None:
    masks = score_limits(f32([[-4.1, -4.3]]), f32([-4.0]), Thresholds(relative_margin=0.05))
    assert masks["relative_margin"][0].tolist() == [True, False]


def test_absolute_margin_and_limits() -> None:
    limits = Thresholds(absolute_margin=0.2, max_score=0.6, min_score=0.1)
    masks = score_limits(f32([[0.65, 0.59, 0.05]]), f32([0.8]), limits)
    assert {name: mask[0].tolist() for name, mask in masks.items()} == {
        "absolute_margin": [True, False, False],
        "max_score": [True, False, False],
        "min_score": [False, False, True],
    }


def test_no_limit_no_mask() -> None:
    assert score_limits(f32([[1]]), f32([0]), Thresholds()) == {}


def test_the_lowest_of_several_positives_counts() -> None:
    assert lowest_scores(f32([[0.9, 0.4], [0.7, -INF], [-INF, -INF]])).tolist() == pytest.approx(
        [0.4, 0.7, INF]
    )


def test_skipped_ranks_are_the_first_that_remain() -> None:
    keep = np.array([[False, True, True, True]])
    assert first_ranks(keep, 2).tolist() == [[False, True, True, False]]


KEEP = np.array([[True, False, True, True, True], [False, False, False, True, False]])
RANKING = f32([[5, 4, 3, 2, 1]] * 2)


def test_top_sampling_takes_the_first() -> None:
    got = sample(KEEP, RANKING, 3, "top", sample_from=1, rng=np.random.default_rng(0))
    assert got.tolist() == [[0, 2, 3], [3, -1, -1]]


@pytest.mark.parametrize("how", ["random", "score"])
def test_random_sampling_draws_kept_candidates_of_the_first_ranks(how: str) -> None:
    rng = np.random.default_rng(0)
    drawn = [sample(KEEP, RANKING, 2, how, sample_from=3, rng=rng) for _ in range(200)]
    firsts = {tuple(d[0]) for d in drawn}
    assert firsts == {(0, 2), (0, 3), (2, 3)}  # never 1 (taken out) nor 4 (beyond the first three)
    assert all(d[1].tolist() == [3, -1] for d in drawn)


def test_score_sampling_prefers_high_scores() -> None:
    keep, rng = np.ones((4000, 3), bool), np.random.default_rng(0)
    got = sample(keep, np.tile(f32([2, 1, 0]), (4000, 1)), 1, "score", sample_from=3, rng=rng)
    share = np.bincount(got[:, 0], minlength=3) / 4000
    z = np.array([1, 0, -1]) * np.sqrt(1.5)  # 2, 1, 0 standardised
    assert share == pytest.approx(np.exp(z) / np.exp(z).sum(), abs=0.03)


def test_a_query_with_thousands_of_positives_takes_no_memory_by_their_square() -> None:
    n = 3000
    candidates = Candidates(*(np.zeros((1, 4), t) for t in (np.int64, np.uint8, np.float32, np.float32)))
    positives, scores = np.arange(n)[None, :], np.arange(n, dtype=np.float32)[None, :]
    mined = Mined(candidates, np.ones((1, 4), bool), positives, scores, scores, {}, None)
    rows = np.random.default_rng(0).permutation(n)
    tracemalloc.start()
    block = draw_block(
        mined, np.zeros((1, 2)), np.arange(n), np.zeros(n, np.int64), rows, Draw(1), np.random.default_rng(0)
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_array_equal(block.positive_scores, rows)
    assert peak < 8 * n * n / 4

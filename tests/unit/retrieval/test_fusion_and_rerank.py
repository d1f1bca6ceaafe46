from __future__ import annotations

import numpy as np
import pytest

from embedlib.errors import DataError, ModelError
from embedlib.retrieval.fusion import reciprocal_rank_fusion
from embedlib.retrieval.hits import Hits
from embedlib.retrieval.rerank import load_cross_encoder, rerank


def hits(rows: list[list[int]], scores: list[list[float]]) -> Hits:
    return Hits(np.array(rows, np.int64), np.array(scores, np.float32))


INF = float("inf")
FIRST = hits([[5, 2, 9]], [[3.0, 2.0, 1.0]])
SECOND = hits([[2, 7, -1]], [[10.0, 4.0, -INF]])


def test_reciprocal_ranks_add_up() -> None:
    fused = reciprocal_rank_fusion([FIRST, SECOND], 5)
    assert fused.rows.tolist() == [[2, 5, 7, 9, -1]]
    assert fused.scores[0, :2] == pytest.approx([1 / 62 + 1 / 61, 1 / 61])


def test_fusion_breaks_ties_by_row() -> None:
    fused = reciprocal_rank_fusion([hits([[8]], [[1.0]]), hits([[3]], [[1.0]])], 2)
    assert fused.rows.tolist() == [[3, 8]]


def test_rankings_of_different_queries_are_refused() -> None:
    with pytest.raises(DataError, match="different queries"):
        reciprocal_rank_fusion([FIRST, hits([[1], [2]], [[1.0], [1.0]])], 2)


def test_rerank_orders_by_the_model_and_keeps_empty_places_last() -> None:
    seen: list[tuple[str, str]] = []

    def length(pairs: list[tuple[str, str]]) -> np.ndarray:
        seen.extend(pairs)
        return np.array([len(text) for _, text in pairs], np.float32)

    texts = {2: "aaa", 5: "a", 9: "aaa"}
    out = rerank(
        length, ["q"], hits([[5, 9, 2, -1]], [[4, 3, 2, -INF]]), lambda r: [texts[int(x)] for x in r], 4
    )
    assert out.rows.tolist() == [[2, 9, 5, -1]]
    assert out.scores.tolist() == [[3.0, 3.0, 1.0, -INF]]
    assert len(seen) == 3


def test_rerank_refuses_scores_that_are_no_numbers() -> None:
    with pytest.raises(DataError, match="not finite"):
        rerank(lambda p: np.full(len(p), np.nan, np.float32), ["q"], FIRST, lambda r: ["t"] * len(r), 2)


def test_a_missing_cross_encoder_is_a_typed_error(tmp_path) -> None:
    with pytest.raises(ModelError, match="no model folder"):
        load_cross_encoder(tmp_path / "none")

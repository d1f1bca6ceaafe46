from __future__ import annotations

import numpy as np
import pytest

from embedlib.errors import DataError, ModelError, OutOfMemory
from embedlib.retrieval.fusion import reciprocal_rank_fusion
from embedlib.retrieval.hits import Hits
from embedlib.retrieval.rerank import interpolate, load_cross_encoder, rerank_first


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
    out = rerank_first(
        length, ["q"], hits([[5, 9, 2, -1]], [[4, 3, 2, -INF]]), lambda r: [texts[int(x)] for x in r], 4, None
    )
    assert out.rows.tolist() == [[2, 9, 5, -1]]
    assert out.scores.tolist() == [[3.0, 3.0, 1.0, -INF]]
    assert len(seen) == 3


def test_rerank_refuses_scores_that_are_no_numbers() -> None:
    with pytest.raises(DataError, match="not finite"):
        rerank_first(
            lambda p: np.full(len(p), np.nan, np.float32), ["q"], FIRST, lambda r: ["t"] * len(r), 2, None
        )


def test_a_missing_cross_encoder_is_a_typed_error(tmp_path) -> None:
    with pytest.raises(ModelError, match="no model folder"):
        load_cross_encoder(tmp_path / "none")


@pytest.fixture
def cross_encoder(tmp_path, tiny_model):
    from embedlib.training.rerank import new_reranker

    new_reranker(tiny_model, 32, "cpu").save_pretrained(tmp_path / "cross", create_model_card=False)
    return tmp_path / "cross"


def memory_for(most: int, monkeypatch) -> list[int]:
    """Let a prediction of more than ``most`` pairs at once fail as PyTorch does; the batches that were tried."""
    from sentence_transformers import CrossEncoder

    plain, tried = CrossEncoder.predict, []

    def predict(self, pairs, batch_size, **options):
        tried.append(batch_size)
        if batch_size > most:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to …")
        return plain(self, pairs, batch_size=batch_size, **options)

    monkeypatch.setattr(CrossEncoder, "predict", predict)
    return tried


def test_pairs_that_do_not_fit_the_memory_are_read_fewer_at_a_time(cross_encoder, monkeypatch) -> None:
    tried = memory_for(4, monkeypatch)
    pairs = [("what", f"text {i}") for i in range(6)]
    assert load_cross_encoder(cross_encoder)(pairs).shape == (6,)
    assert tried == [16, 8, 4]


def test_out_of_memory_for_a_single_pair_is_a_typed_error(cross_encoder, monkeypatch) -> None:
    memory_for(0, monkeypatch)
    with pytest.raises(OutOfMemory, match="re-ranking ran out of memory") as error:
        load_cross_encoder(cross_encoder)([("what", "text")])
    assert "32 tokens" in error.value.expected


def test_another_failure_of_the_model_is_not_taken_for_missing_memory(cross_encoder, monkeypatch) -> None:
    from sentence_transformers import CrossEncoder

    def fail(self, pairs, **options):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(CrossEncoder, "predict", fail)
    with pytest.raises(RuntimeError, match="shapes"):
        load_cross_encoder(cross_encoder)([("what", "text")])


def test_both_stages_are_weighed_and_what_was_not_read_counts_as_the_worst() -> None:
    first = hits([[5, 2, 9, 4]], [[4.0, 3.0, 2.0, 1.5]])
    both = interpolate(first, np.array([[1.0, 2.0, -1.0]], np.float32), 2.0)
    assert both.rows.tolist() == [[2, 5, 9, 4]]
    assert both.scores.tolist() == [[7.0, 6.0, 0.0, -0.5]]


def test_places_without_a_hit_stay_empty_and_ties_go_by_row() -> None:
    first = hits([[8, 3, -1], [-1, -1, -1]], [[1.0, 1.0, -INF], [-INF] * 3])
    scores = np.array([[0.5, 0.5], [-INF, -INF]], np.float32)
    both = interpolate(first, scores, 1.0)
    assert both.rows.tolist() == [[3, 8, -1], [-1, -1, -1]]
    assert both.scores.tolist() == [[1.5, 1.5, -INF], [-INF, -INF, -INF]]

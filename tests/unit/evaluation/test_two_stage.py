"""Depth and weight of a reranker: chosen on dev, bounded by time."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation_data import write_corpus, write_queries
from toys import ToyEncoder

from embedlib.evaluation import two_stage
from embedlib.evaluation.judged import read_judged
from embedlib.evaluation.model_on_set import DenseSystem
from embedlib.evaluation.two_stage import FirstStage, Tried, calibrate, least_depth, time_depths
from embedlib.retrieval.hits import Hits
from embedlib.retrieval.plan import DENSE, HYBRID, TwoStagePlan


def ranking(scores):
    scores = np.asarray(scores, np.float32)
    return Hits(np.tile(np.arange(scores.shape[1]), (len(scores), 1)), scores)


def reciprocal_rank(relevant):
    """1 / rank of one relevant row a query."""

    def values(hits):
        return np.array([1 / (1 + list(line).index(r)) for line, r in zip(hits.rows, relevant, strict=True)])

    return values


def tried(depth, values):
    return Tried(TwoStagePlan(depth=depth, weight=1.0), np.asarray(values, float))


def test_the_weight_that_is_best_for_a_depth_is_found() -> None:
    # one reranker is right about row 2 and wrong by little about row 0: a small weight is not enough
    first = ranking([[3.0, 2.0, 1.0, 0.0]] * 4)
    scores = np.array([[0.0, 0.0, 1.0, 0.0]] * 4, np.float32)
    (two, four) = calibrate(first, scores, reciprocal_rank([2] * 4), [2, 4])
    assert two.values.mean() == pytest.approx(1 / 3)  # row 2 is beyond the depth
    assert four.values.mean() == 1.0
    assert four.plan.weight > 2.0


def test_a_harmful_reranker_gets_the_least_weight() -> None:
    first = ranking([[3.0, 2.0, 1.0]] * 4)
    (found,) = calibrate(first, -first.scores, reciprocal_rank([0] * 4), [3])
    assert found.plan.weight == pytest.approx(two_stage.WEIGHTS[0])
    assert found.values.mean() == 1.0


def test_a_reranker_that_tells_nothing_apart_is_not_tried() -> None:
    first = ranking([[3.0, 2.0, 1.0]] * 4)
    assert calibrate(first, np.ones((4, 3), np.float32), reciprocal_rank([0] * 4), [3]) == []


def test_the_least_depth_within_a_standard_error_of_the_best_is_taken() -> None:
    rng = np.random.default_rng(0)
    best = rng.uniform(size=200)
    near, far = best - rng.normal(0.001, 0.1, 200), best - rng.normal(0.1, 0.1, 200)
    assert least_depth([tried(10, far), tried(20, near), tried(50, best)]).plan.depth == 20
    assert least_depth([tried(10, far), tried(20, far), tried(50, best)]).plan.depth == 50


@pytest.fixture
def judged(tmp_path):
    texts = {f"d{i:02d}": chr(97 + i) * 3 for i in range(15)}
    corpus = write_corpus(tmp_path / "corpus", texts)
    rows = [(f"q{i}", texts[f"d{i:02d}"], "dev", "human", None, {f"d{i + 4:02d}": 1}) for i in range(4)]
    (found,) = read_judged(corpus, write_queries(tmp_path / "queries", rows), "dev").values()
    return corpus, found


class Held:
    """Vectors of a corpus by the toy encoder."""

    dimension = 27

    def __init__(self, texts):
        self.vectors = ToyEncoder().encode_documents(list(texts))

    def blocks(self):
        yield 0, self.vectors

    def take(self, rows):
        return self.vectors[rows]


@pytest.mark.parametrize("plan", [DENSE, HYBRID], ids=str)
def test_time_is_taken_up_to_the_first_depth_beyond_the_budget_and_never_past_the_corpus(
    judged, plan, monkeypatch
) -> None:
    corpus, found = judged
    first = FirstStage(corpus, found, DenseSystem("m", ToyEncoder(), Held(corpus.texts())), plan, "nDCG@10")
    read = []

    def score(pairs):
        read.append(len(pairs))
        return np.zeros(len(pairs), np.float32)

    assert list(time_depths(first, score, 50, 1e9)) == [10, 15]
    assert read[0] == 4  # a call that is not timed
    assert max(read) == 14  # 15 documents, one of them the query itself
    monkeypatch.setattr(FirstStage, "seconds", lambda self, score, depth: np.full(4, depth / 1000))
    assert time_depths(first, score, 14, 9.0) == {10: pytest.approx(10.0)}

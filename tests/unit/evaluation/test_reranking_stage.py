"""The stage that decides on a reranker: which queries choose, and what refuses."""

from __future__ import annotations

import numpy as np
import pytest

from embedlib.config.evaluation import Decide
from embedlib.config.reranking import Reranking
from embedlib.errors import DataError
from embedlib.evaluation.compare import compare
from embedlib.evaluation.statistics import Resampling
from embedlib.evaluation.two_stage import Tried
from embedlib.retrieval.plan import TwoStagePlan
from embedlib.stages import reranking
from embedlib.stages.reranking import Chosen, refusal

CONFIG = Reranking(depth=50, latency_ms=100.0, decide=Decide())
RNG = np.random.default_rng(0)
PLAN = Tried(TwoStagePlan(depth=10, weight=1.0), np.ones(3))


def comparison(gain: float, kind: str = "human"):
    first = RNG.uniform(0, 0.5, 200)
    values = {"two": {"nDCG@10": first + gain + RNG.normal(0, 0.01, 200)}, "one": {"nDCG@10": first}}
    return compare(values, [("two", "one")], ["nDCG@10"], Resampling(RNG), dataset=kind)[0]


def chosen(gain: float = 0.1, p95_ms: float = 50.0, tried: Tried | None = PLAN) -> Chosen:
    return Chosen(tried, gain, [], p95_ms)


@pytest.mark.parametrize(
    ("given", "compared", "queries", "reason"),
    [
        (chosen(), comparison(0.05), 200, None),
        (chosen(p95_ms=101.0, tried=None), None, 200, "rerank.latency_ms"),
        (chosen(tried=None), None, 200, "one score"),
        (chosen(), comparison(0.05), 19, "Only 19"),
        (chosen(gain=0.0), comparison(0.05), 200, "On dev nothing"),
        (chosen(), comparison(0.005), 200, "not proven"),
        (chosen(), comparison(-0.05), 200, "not proven"),
        (chosen(), comparison(0.015, "derived"), 200, "0.02"),
        (chosen(), comparison(0.03, "derived"), 200, None),
    ],
)
def test_a_reranker_is_served_only_if_fast_and_proven(given, compared, queries, reason) -> None:
    refused = refusal(CONFIG, given, compared, queries)
    assert (refused == []) if reason is None else (reason in refused[0])


class Judged:
    def __init__(self, name):
        self.name, self.answerable = name, 5

    def sample(self, size, rng):
        return self


@pytest.mark.parametrize(
    ("dev", "test", "chooses"),
    [
        (["human", "derived"], ["human"], "human"),
        (["human", "derived"], ["derived"], "derived"),
        (["derived"], ["human"], "derived"),
        ([], ["human"], None),
        (["human"], [], None),
    ],
)
def test_dev_queries_of_the_kind_that_decides_choose_where_there_are_any(
    dev, test, chooses, monkeypatch, tmp_path
) -> None:
    sets = {"dev": dev, "test": test}
    monkeypatch.setattr(reranking, "read_judged", lambda c, q, split: {n: Judged(n) for n in sets[split]})
    queries = type("Ref", (), {"path": tmp_path})()
    if chooses is None:
        with pytest.raises(DataError, match="nothing tells"):
            reranking._sets(None, queries, RNG)
        return
    assert reranking._sets(None, queries, RNG)[0].name == chooses

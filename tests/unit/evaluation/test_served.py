"""Choosing how a model is served: people's dev queries choose, clearly, or nothing does."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation_data import write_corpus, write_queries

from embedlib.evaluation.judged import read_judged
from embedlib.evaluation.model_on_set import DenseSystem
from embedlib.evaluation.records import Decision
from embedlib.evaluation.served import choose_plan, clearly_better
from embedlib.retrieval.bm25 import build_bm25
from embedlib.retrieval.plan import HYBRID, SearchPlan

N = 60


class Given:
    """Query vectors by text, document vectors by row: half of the queries' answers are neighbours, or none."""

    name, dimension, max_length = "given", 8, None

    def __init__(self, share: float) -> None:
        rng = np.random.default_rng(3)
        self.documents = rng.standard_normal((N, 8)).astype(np.float32)
        self.documents /= np.linalg.norm(self.documents, axis=1, keepdims=True)
        self.share = share

    def encode_queries(self, texts, *, progress=None):
        wanted = [int(text.split()[-1][3:]) for text in texts]
        near = [row if i < self.share * len(texts) else (row + 7) % N for i, row in enumerate(wanted)]
        return self.documents[near]

    def blocks(self):
        yield 0, self.documents

    def take(self, rows):
        return self.documents[rows]


class Terms:
    """A sparse encoder's index that knows the answers, or that knows nothing."""

    def __init__(self, knows: bool) -> None:
        self.knows = knows

    def scores_of(self, texts):
        for text in texts:
            yield np.eye(N, dtype=np.float32)[int(text.split()[-1][3:])] * self.knows


def choose(
    tmp_path,
    *,
    share: float,
    shared_words: bool,
    least: int = 50,
    split: str = "dev",
    sparse: Terms | None = None,
):
    corpus = write_corpus(tmp_path / "c", {f"d{i:02d}": f"word{i:02d} common text" for i in range(N)})
    word = "word" if shared_words else "term"
    queries = [
        (f"q{i:02d}", f"{word} about {word[:3]}{i}" if not shared_words else f"word{i:02d} about xyz{i}",
         split, "human", None, {f"d{i:02d}": 1})
        for i in range(N)
    ]  # fmt: skip
    dev = read_judged(corpus, write_queries(tmp_path / "q", queries), "dev").get("human")
    given = Given(share)
    return choose_plan(
        corpus, dev, DenseSystem("base", given, given), HYBRID,
        bm25=lambda: build_bm25(corpus.texts()), measure="nDCG@10", least_queries=least, rng=np.random.default_rng(0),
        sparse=sparse,
    )  # fmt: skip


def test_words_that_decide_raise_bm25s_weight(tmp_path) -> None:
    chosen = choose(tmp_path, share=0.0, shared_words=True)
    assert chosen.plan.mode == "bm25" or chosen.plan.weight > 0.3
    assert chosen.dev["bm25"] == 1.0
    assert "60 human dev queries" in chosen.reason


def test_the_default_stays_where_nothing_beats_it_clearly(tmp_path) -> None:
    chosen = choose(tmp_path, share=1.0, shared_words=False)
    assert chosen.plan == HYBRID
    assert "nothing beats clearly" in chosen.reason
    assert chosen.dev["dense"] == chosen.dev[str(HYBRID)] == 1.0


def test_a_sparse_encoder_gets_a_weight_where_it_is_clearly_better(tmp_path) -> None:
    chosen = choose(tmp_path, share=0.3, shared_words=False, sparse=Terms(knows=True))
    assert chosen.plan.sparse_weight > 0
    assert chosen.dev[str(chosen.plan)] > chosen.dev[str(chosen.plan.without_sparse())]
    assert "sparse weight" in str(chosen.plan)
    knows_nothing = choose(tmp_path / "n", share=0.3, shared_words=False, sparse=Terms(knows=False))
    assert knows_nothing.plan.sparse_weight == 0


@pytest.mark.parametrize(("least", "split"), [(61, "dev"), (50, "test")])
def test_too_few_or_no_human_dev_queries_choose_nothing(tmp_path, least: int, split: str) -> None:
    chosen = choose(tmp_path, share=0.0, shared_words=True, least=least, split=split)
    assert chosen.plan == HYBRID
    assert chosen.dev == {}
    assert chosen.reason.startswith("the default: ")


def test_clearly_is_two_standard_errors_of_the_paired_difference() -> None:
    rng = np.random.default_rng(0)
    other = rng.random(400)
    noise = rng.standard_normal(400)
    noise = (noise - noise.mean()) / noise.std(ddof=1)  # standard error .05 of 1
    assert clearly_better(other + noise + 0.101, other)
    assert not clearly_better(other + noise + 0.099, other)
    assert not clearly_better(other, other)


def test_a_decision_tells_only_of_the_models_that_it_judged() -> None:
    plan = {"mode": "hybrid", "weight": 0.7}
    models = {"base": "abc", "candidate": "def"}
    decision = Decision(
        verdict="keep", headline="", reasons=(), advice=(), decided_on=None, numbers={},
        search={"candidate": plan}, models=models,
    )  # fmt: skip
    assert decision.plan_of("def") == SearchPlan.model_validate(plan)
    assert decision.plan_of("abc") is None
    assert decision.plan_of("ghi") is None

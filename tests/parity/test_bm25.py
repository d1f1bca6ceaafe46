"""BM25 against its two oracles.

Parameter mapping: k1 and b are the same everywhere. rank-bm25's ``BM25Okapi`` multiplies by
(k1 + 1) and has Robertson's idf; Lucene's variant has neither (ours: both engines).
"""

from __future__ import annotations

import math

import bm25s
import numpy as np
import pytest
from rank_bm25 import BM25Okapi

from embedlib.retrieval.bm25 import K1, B, build_bm25

RNG = np.random.default_rng(3)
WORDS = np.array([f"w{i}" for i in range(200)])
ZIPF = 1 / np.arange(1, 201)
DOCUMENTS = [" ".join(RNG.choice(WORDS, RNG.integers(3, 40), p=ZIPF / ZIPF.sum())) for _ in range(400)]
QUERIES = [" ".join(RNG.choice(WORDS, 4)) for _ in range(50)]


@pytest.fixture(scope="module")
def ours() -> np.ndarray:
    index = build_bm25(DOCUMENTS)
    return np.stack([index.scores(q) for q in QUERIES])


def test_both_engines_give_the_same_scores(ours: np.ndarray) -> None:
    reference = build_bm25(DOCUMENTS, engine="rank-bm25")
    assert np.stack([reference.scores(q) for q in QUERIES]) == pytest.approx(ours, abs=1e-5)


def test_rank_bm25_given_lucenes_idf_agrees(ours: np.ndarray) -> None:
    tokens = [d.split() for d in DOCUMENTS]
    oracle = BM25Okapi(tokens, k1=K1, b=B)
    for term in oracle.idf:
        df = sum(term in d for d in oracle.doc_freqs)
        oracle.idf[term] = math.log(1 + (len(tokens) - df + 0.5) / (df + 0.5))
    expected = np.stack([oracle.get_scores(q.split()) for q in QUERIES]) / (K1 + 1)
    assert ours == pytest.approx(expected, abs=1e-5)


def test_bm25s_alone_agrees(ours: np.ndarray) -> None:
    oracle = bm25s.BM25(k1=K1, b=B, method="lucene")
    oracle.index([d.split() for d in DOCUMENTS], show_progress=False)
    assert ours == pytest.approx(np.stack([oracle.get_scores(q.split()) for q in QUERIES]), abs=1e-5)


def test_negative_control_plain_rank_bm25_is_another_variant(ours: np.ndarray) -> None:
    plain = BM25Okapi([d.split() for d in DOCUMENTS], k1=K1, b=B)
    scores = np.stack([plain.get_scores(q.split()) for q in QUERIES]) / (K1 + 1)
    assert np.abs(scores - ours).max() > 0.1

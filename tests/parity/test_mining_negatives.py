"""Mined negatives against ``sentence_transformers.util.mine_hard_negatives`` on the same vectors.

Parameter mapping: range_max + most positives = depth; range_min = skip_ranks; absolute_margin,
relative_margin, max_score, min_score and num_negatives as they are; dense miner alone; sampling
"top"; the near-duplicate filter off, since the oracle has none.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from sentence_transformers.util import mine_hard_negatives

from embedlib.mining.blocks import sample
from embedlib.mining.miner import Sources, mine
from embedlib.mining.options import Rules, Thresholds

QUERIES, DOCUMENTS, RANGE_MAX = 60, 400, 40
RNG = np.random.default_rng(5)


def unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


VECTORS = unit(RNG.standard_normal((DOCUMENTS, 16)))
POSITIVES = np.stack([RNG.choice(DOCUMENTS, 2, replace=False) for _ in range(QUERIES)])
QUERY_VECTORS = unit(VECTORS[POSITIVES].sum(axis=1) + 0.3 * unit(RNG.standard_normal((QUERIES, 16))))
TEXTS = [f"document {i}" for i in range(DOCUMENTS)]


class Oracle:
    """The vectors above behind the methods that the oracle calls."""

    device = "cpu"

    class model_card_data:
        base_model = None

    def encode_query(self, texts: list[str], **_: Any) -> np.ndarray:
        return QUERY_VECTORS[[int(t.split()[1]) for t in texts]]

    def encode_document(self, texts: list[str], **_: Any) -> np.ndarray:
        return VECTORS[[int(t.split()[1]) for t in texts]]

    def similarity(self, a: Any, b: Any) -> Any:
        from sentence_transformers.util import dot_score

        return dot_score(a, b)

    def similarity_pairwise(self, a: Any, b: Any) -> Any:
        from sentence_transformers.util import pairwise_dot_score

        return pairwise_dot_score(a, b)


def oracle(**options: Any) -> dict[int, set[int]]:
    anchors = [f"query {q}" for q in range(QUERIES) for _ in range(2)]
    answers = [TEXTS[p] for q in range(QUERIES) for p in POSITIVES[q]]
    mined = mine_hard_negatives(
        Dataset.from_dict({"anchor": anchors, "positive": answers}),
        Oracle(),  # type: ignore[arg-type]
        corpus=TEXTS,
        range_max=RANGE_MAX,
        num_negatives=5,
        output_format="triplet",
        verbose=False,
        **options,
    )
    found: dict[int, set[int]] = {q: set() for q in range(QUERIES)}
    for row in mined:
        found[int(row["anchor"].split()[1])].add(int(row["negative"].split()[1]))
    return found


def ours(thresholds: Thresholds) -> dict[int, set[int]]:
    sources = Sources(
        lambda: [(0, VECTORS[:150]), (150, VECTORS[150:])], lambda rows: VECTORS[rows], np.arange(DOCUMENTS)
    )
    rules = Rules(("dense",), RANGE_MAX + 2, 1.0, thresholds)
    mined = mine([""] * QUERIES, QUERY_VECTORS, POSITIVES, sources, rules)
    places = sample(mined.keep, mined.candidates.ranking, 5, "top", sample_from=1, rng=RNG)
    return {q: {int(mined.candidates.rows[q, p]) for p in places[q] if p >= 0} for q in range(QUERIES)}


@pytest.mark.parametrize(
    ("options", "thresholds"),
    [
        ({}, Thresholds()),
        ({"range_min": 3}, Thresholds(skip_ranks=3)),
        ({"absolute_margin": 0.1}, Thresholds(absolute_margin=0.1)),
        ({"relative_margin": 0.05}, Thresholds(relative_margin=0.05)),
        ({"max_score": 0.5, "min_score": 0.3}, Thresholds(max_score=0.5, min_score=0.3)),
        (
            {"relative_margin": 0.05, "range_min": 2, "max_score": 0.6},
            Thresholds(relative_margin=0.05, skip_ranks=2, max_score=0.6),
        ),
    ],
)
def test_the_same_negatives(options: dict[str, Any], thresholds: Thresholds) -> None:
    expected = oracle(**options)
    assert sum(map(len, expected.values())) > 50
    assert ours(thresholds) == expected


def test_negative_control_another_margin_gives_other_negatives() -> None:
    assert ours(Thresholds(relative_margin=0.2)) != oracle(relative_margin=0.05)

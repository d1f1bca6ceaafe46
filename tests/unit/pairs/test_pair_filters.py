from __future__ import annotations

import numpy as np
import pytest

from embedlib.contracts import CandidatePair
from embedlib.mining.known_positives import KnownPositives
from embedlib.pairs.filters import (
    above_background,
    first_of_each,
    found_again,
    leaks,
    mean_cosine,
    not_near_identical,
)
from embedlib.pairs.selection import mix
from embedlib.retrieval.hits import Hits


def hits(rows: list[list[int]]) -> Hits:
    return Hits(np.array(rows), np.zeros((len(rows), len(rows[0])), np.float32))


def test_repeated_queries_are_found_whatever_their_case() -> None:
    assert first_of_each(["What is X?", "other", "what is x"]).tolist() == [True, True, False]


def test_round_trip_takes_the_union_of_searches() -> None:
    rows = np.array([4, 5, 6])
    keep = found_again(rows, [hits([[4, 1], [0, 1], [0, 1]]), hits([[0, 1], [3, 5], [0, 1]])])
    assert keep.tolist() == [True, True, False]


def test_near_identical_queries_are_dropped_greedily() -> None:
    angle = np.deg2rad([0, 20, 40, 90])
    vectors = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    # 20 degrees is too close to 0 (cosine .94); 40 is too close to 20 only, which is gone
    assert not_near_identical(vectors, 0.9).tolist() == [True, False, True, True]


def test_near_identical_over_several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    whole = not_near_identical(vectors, 0.9)
    monkeypatch.setattr("embedlib.pairs.filters.BLOCK", 7)
    assert not whole.all()
    assert (not_near_identical(vectors, 0.9) == whole).all()


def test_mean_cosine_is_that_of_unrelated_vectors() -> None:
    assert mean_cosine(np.eye(4, dtype=np.float32)) == pytest.approx(0.0, abs=1e-6)
    assert mean_cosine(np.ones((4, 2), np.float32)) == pytest.approx(1.0)
    narrow = np.random.default_rng(0).standard_normal((500, 8)).astype(np.float32) + 3
    assert above_background(0.9, mean_cosine(narrow)) > 0.98


def test_leaks_are_exact_and_near_duplicates_of_protected_queries() -> None:
    protected = ["How do I list the files of a folder?", "unrelated matter"]
    queries = [
        "how do i list the files of a folder",
        "how do i list the files of a folder now",
        "weather in March",
    ]
    assert leaks(queries, protected, 0.8).tolist() == [True, True, False]
    assert not leaks(queries, [], 0.8).any()


@pytest.mark.parametrize(
    ("one", "other"),
    [("C++ error", "C# error"), (".NET build", "NET build"), ("a > b", "a < b"), ("??", "!!")],
)
def test_queries_that_differ_in_a_sign_are_two(one: str, other: str) -> None:
    assert first_of_each([one, other]).all()
    assert not leaks([one], [other], 0.9).any()
    known = KnownPositives()
    known.add(one, [1])
    assert known.rows(other) == set()


def candidates(origins: dict[str, int]) -> list[CandidatePair]:
    return [
        CandidatePair(f"{o}{i}", f"{o} {i}", f"d{i % 50}", o) for o, n in origins.items() for i in range(n)
    ]


def counts(pairs: list[CandidatePair]) -> dict[str, int]:
    return {o: sum(p.origin == o for p in pairs) for o in {p.origin for p in pairs}}


def test_shares_of_origins() -> None:
    mixed = mix(
        candidates({"title": 40, "sentence": 40}),
        shares={"sentence": 0.25},
        per_document=10,
        max_pairs=1000,
        rng=np.random.default_rng(0),
    )
    assert counts(mixed) == {"title": 40, "sentence": 10}


def test_the_cap_per_document_takes_one_of_each_origin_first() -> None:
    pairs = [CandidatePair(f"s{i}", f"s {i}", "d", "sentence") for i in range(5)] + [
        CandidatePair("t", "t", "d", "title")
    ]
    mixed = mix(pairs, shares={}, per_document=2, max_pairs=100, rng=np.random.default_rng(1))
    assert counts(mixed) == {"title": 1, "sentence": 1}


def test_too_many_pairs_shrink_every_origin_alike() -> None:
    rng = np.random.default_rng(0)
    mixed = mix(candidates({"title": 80, "sentence": 40}), shares={}, per_document=9, max_pairs=60, rng=rng)
    assert counts(mixed) == {"title": 40, "sentence": 20}
    assert mixed == sorted(mixed, key=candidates({"title": 80, "sentence": 40}).index)

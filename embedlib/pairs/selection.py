"""Pairs made from documents: on their way through the filters, and how many of them are mixed in."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from embedlib.contracts import CandidatePair, Floats, Rows
from embedlib.pairs.filters import (
    above_background,
    first_of_each,
    found_again,
    leaks,
    mean_cosine,
    not_near_identical,
)
from embedlib.retrieval.bm25 import BM25Index
from embedlib.retrieval.dense import Blocks, exact_search
from embedlib.retrieval.hits import Mask

#: Trigram similarity with a dev or test query from which a query is dropped.
LEAK_SIMILARITY = 0.8
Encode = Callable[[Sequence[str]], Floats]


@dataclass(frozen=True)
class FilterThresholds:
    """Thresholds of the filters.

    Args:
        round_trip_k: Ranks among which a query's document must stand; 0 asks nothing.
        near_identical: Cosine, measured from the background, above which two queries are one.
    """

    round_trip_k: int
    near_identical: float


@dataclass
class Selection:
    """The pairs that are left, and how many of each origin every filter removed."""

    pairs: list[CandidatePair]
    vectors: Floats
    made: Counter[str] = field(default_factory=Counter)
    removed: dict[str, Counter[str]] = field(default_factory=dict)

    def keep(self, mask: Mask, reason: str) -> None:
        """Drop the pairs where ``mask`` is False and count them under ``reason``."""
        gone = Counter(pair.origin for pair, stays in zip(self.pairs, mask, strict=True) if not stays)
        self.removed[reason] = self.removed.get(reason, Counter()) + gone
        self.pairs = [pair for pair, stays in zip(self.pairs, mask, strict=True) if stays]
        if len(self.vectors):
            self.vectors = self.vectors[mask]


def select_pairs(
    candidates: Sequence[CandidatePair],
    *,
    protected: Sequence[str],
    row_of: Mapping[str, int],
    encode: Encode,
    bm25: BM25Index,
    blocks: Blocks,
    limits: FilterThresholds,
) -> Selection:
    """Take out repetitions, leaks, queries that do not find their document, and near-identical ones.

    No query may resemble a ``protected`` one, of dev or test; ``row_of`` has each document's row.

    Returns:
        What is left, with query vectors float32 [n, d] and counts.
    """
    chosen = Selection(list(candidates), np.empty((0, 0), np.float32), Counter(c.origin for c in candidates))
    chosen.keep(first_of_each([c.query for c in candidates]), "repeated")
    leaking = leaks([c.query for c in chosen.pairs], protected, LEAK_SIMILARITY)
    chosen.keep(~leaking, "like_dev_or_test")
    if not chosen.pairs:
        return chosen
    chosen.vectors = encode([c.query for c in chosen.pairs])
    if limits.round_trip_k:
        chosen.keep(_round_trip(chosen, row_of, bm25, blocks, limits.round_trip_k), "round_trip")
    if chosen.pairs:
        threshold = above_background(limits.near_identical, mean_cosine(chosen.vectors))
        chosen.keep(not_near_identical(chosen.vectors, threshold), "near_identical")
    return chosen


def _round_trip(
    chosen: Selection, row_of: Mapping[str, int], bm25: BM25Index, blocks: Blocks, k: int
) -> Mask:
    rows: Rows = np.array([row_of[pair.doc_id] for pair in chosen.pairs], dtype=np.int64)
    lexical = bm25.search([pair.query for pair in chosen.pairs], k)
    return found_again(rows, [lexical, exact_search(chosen.vectors, blocks, k)])


def mix(
    pairs: Sequence[CandidatePair],
    *,
    shares: Mapping[str, float],
    per_document: int,
    max_pairs: int,
    rng: np.random.Generator,
) -> list[CandidatePair]:
    """Choose among unlabelled pairs, at random, in the order in which they came.

    First each origin's share, then at most ``per_document`` pairs of a document, then, of what is
    more than ``max_pairs``, the same part of every origin.

    ``shares`` are 0 to 1 by origin, 1 for an origin that is missing.
    """
    chosen = _by_share(pairs, shares, rng)
    chosen = _capped(pairs, chosen, per_document, rng)
    if len(chosen) > max_pairs:
        part = max_pairs / len(chosen)
        chosen = _by_share(pairs, {o: part for o in {p.origin for p in pairs}}, rng, chosen)[:max_pairs]
    return [pairs[i] for i in chosen]


def _by_share(
    pairs: Sequence[CandidatePair],
    shares: Mapping[str, float],
    rng: np.random.Generator,
    among: Sequence[int] | Rows | None = None,
) -> Rows:
    """Positions of a random share of each origin, ascending."""
    by_origin: dict[str, list[int]] = defaultdict(list)
    for i in range(len(pairs)) if among is None else among:
        by_origin[pairs[i].origin].append(int(i))
    kept = [
        rng.permutation(positions)[: round(shares.get(origin, 1.0) * len(positions))]
        for origin, positions in sorted(by_origin.items())
    ]
    return np.sort(np.concatenate(kept)).astype(np.int64) if kept else np.empty(0, dtype=np.int64)


def _capped(pairs: Sequence[CandidatePair], chosen: Rows, cap: int, rng: np.random.Generator) -> Rows:
    """At most ``cap`` pairs per document, one of each origin before a second of any."""
    taken: Counter[str] = Counter()
    of_origin: Counter[tuple[str, str]] = Counter()
    ranked = []
    for i in rng.permutation(chosen).tolist():
        key = (pairs[i].doc_id, pairs[i].origin)
        ranked.append((of_origin[key], i))
        of_origin[key] += 1
    kept = []
    for _, i in sorted(ranked, key=lambda item: item[0]):
        if taken[pairs[i].doc_id] < cap:
            taken[pairs[i].doc_id] += 1
            kept.append(i)
    return np.sort(np.array(kept, dtype=np.int64))

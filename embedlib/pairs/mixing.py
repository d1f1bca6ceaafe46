"""How many pairs of which origin go into training."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from embedlib.contracts import CandidatePair, Rows


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

    Args:
        pairs: Candidates that passed the filters.
        shares: Share of an origin's pairs that is kept, 0 to 1; 1 where nothing is said.
        per_document: Pairs a document may give.
        max_pairs: Maximum size of the result.
        rng: Chooses.
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

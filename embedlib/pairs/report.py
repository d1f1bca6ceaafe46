"""What a person reads about the pairs: counts by origin, and ten examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from embedlib.contracts import Corpus
from embedlib.pairs.candidate import CandidatePair
from embedlib.pairs.render import positive_text
from embedlib.pairs.selection import Selection

EXCERPT = 300


def pairs_report(selection: Selection, mixed: Sequence[CandidatePair]) -> dict[str, dict[str, Any]]:
    """Per origin: made, removed by each filter, left out by the mix, kept, and the kept share."""
    left = Counter(pair.origin for pair in mixed)
    table: dict[str, dict[str, Any]] = {}
    for origin, counts in selection.by_origin().items():
        passed = counts.pop("kept")
        row = {**counts, "mixing": passed - left[origin], "kept": left[origin]}
        table[origin] = {**row, "kept_share": round(left[origin] / max(counts["made"], 1), 4)}
    return table


def pair_samples(
    pairs: Sequence[CandidatePair], documents: Corpus, rng: np.random.Generator, count: int = 10
) -> list[dict[str, str]]:
    """``count`` random pairs as a person reads them: origin, query, and the positive as trained on."""
    chosen = [pairs[i] for i in sorted(rng.permutation(len(pairs))[:count].tolist())]
    found = documents.take([documents.row_of[pair.doc_id] for pair in chosen])
    return [
        {
            "origin": pair.origin,
            "query": pair.query,
            "doc_id": pair.doc_id,
            "positive": positive_text(document, pair.query, pair.origin)[:EXCERPT],
        }
        for pair, document in zip(chosen, found, strict=True)
    ]

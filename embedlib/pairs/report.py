"""What is told of the pairs: counts by origin, ten examples, and which origins a probe keeps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from embedlib.contracts import CandidatePair, Corpus
from embedlib.json_file import IfGiven, JsonFile, JsonPart
from embedlib.pairs.render import positive_text
from embedlib.pairs.selection import Selection

EXCERPT = 300


class PairsReport(JsonFile):
    """Pairs, the share of documents that have one, and per origin what was made, removed and kept.

    ``llm`` counts the language model's answers; ``llm_budget_exhausted`` where its budget ended them.
    """

    FILE: ClassVar[str] = "report.json"
    pairs: int
    coverage: float
    origins: dict[str, dict[str, int | float]]
    llm_budget_exhausted: IfGiven[bool] = None
    llm: IfGiven[dict[str, int | float]] = None


class OriginProbe(JsonPart):
    """Dev before and after a short training on some of an origin's pairs."""

    dev_before: float
    dev_after: float
    delta: float
    low: float
    high: float
    n: int
    pairs: int


class ProbeResult(JsonFile):
    """Origins of pairs that are kept, and what was measured of each."""

    FILE: ClassVar[str] = "probe.json"
    kept: list[str]
    origins: dict[str, OriginProbe]


def origin_counts(selection: Selection, mixed: Sequence[CandidatePair]) -> dict[str, dict[str, int | float]]:
    """Per origin: made, removed by each filter, left out by the mix, kept, and the kept share."""
    passed, left = (Counter(pair.origin for pair in pairs) for pairs in (selection.pairs, mixed))
    table: dict[str, dict[str, int | float]] = {}
    for origin, made in sorted(selection.made.items()):
        filtered = {reason: counts[origin] for reason, counts in selection.removed.items()}
        row = {"made": made, **filtered, "mixing": passed[origin] - left[origin], "kept": left[origin]}
        table[origin] = {**row, "kept_share": round(left[origin] / max(made, 1), 4)}
    return table


def pair_samples(
    pairs: Sequence[CandidatePair], documents: Corpus, rng: np.random.Generator
) -> list[dict[str, str]]:
    """Ten random pairs as a person reads them: origin, query, and the positive as trained on."""
    chosen = [pairs[i] for i in sorted(rng.permutation(len(pairs))[:10].tolist())]
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

"""What a person reads about mined examples: filters, margins, estimated false negatives, samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from embedlib.contracts import CandidatePair, Corpus, Rows, document_text
from embedlib.json_file import JsonFile, JsonPart
from embedlib.mining.blocks import Block
from embedlib.mining.miner import ORIGINS
from embedlib.pairs.render import positive_text
from embedlib.retrieval.hits import NO_ROW

EXCERPT = 300
#: A pair left with fewer negatives has too few; it is kept, and reported.
MINIMUM = 1
#: Edges of the margin histogram; margins beyond them count in the first or last bin.
EDGES = np.round(np.linspace(-1, 1, 41), 2)


class TooFew(JsonPart):
    """Examples with fewer negatives than asked."""

    fewer_than: int
    examples: int
    share: float


class FalseNegatives(JsonPart):
    """Estimated share of false negatives, and by what it is estimated."""

    estimated_rate: float
    by: str


class Margins(JsonPart):
    """Histogram of the positive's score above the negative's: n + 1 edges, n counts."""

    edges: list[float]
    counts: list[int]


class MiningReport(JsonFile):
    """Examples and negatives, what each filter took by miner, margins, and who teaches."""

    FILE: ClassVar[str] = "report.json"
    examples: int
    negatives: int
    negatives_per_example: float
    too_few: TooFew
    candidates: dict[str, dict[str, int]]
    false_negatives: FalseNegatives
    margins: Margins
    teacher: str
    sampling: str

    def summary(self) -> dict[str, Any]:
        """The figures that a person looks at first."""
        return {
            "examples": self.examples,
            "negatives": self.negatives,
            "share_too_few": self.too_few.share,
            "false_negative_rate": self.false_negatives.estimated_rate,
            "teacher": self.teacher,
        }


class MiningCounts:
    """Sums over blocks.

    ``estimator`` names whose scores the false-negative estimate compares.
    """

    def __init__(self, estimator: str) -> None:
        self.estimator = estimator
        self.counts: dict[str, Counter[str]] = {}
        self.margins = np.zeros(len(EDGES) - 1, dtype=np.int64)
        self.pairs = self.too_few = self.negatives = self.above_positive = 0

    def add(self, block: Block, teacher_positive: Any, teacher_scores: Any) -> None:
        """Count a block; teacher scores are float32 [n] and [n, k]."""
        for name, by_origin in block.counts.items():
            self.counts.setdefault(name, Counter()).update(by_origin)
        present = block.negatives != NO_ROW
        margins = (block.positive_scores[:, None] - block.scores)[present]
        self.margins += np.histogram(np.clip(margins, EDGES[0], EDGES[-1]), bins=EDGES)[0]
        self.pairs += len(block.pairs)
        self.too_few += int((present.sum(axis=1) < MINIMUM).sum())
        self.negatives += int(present.sum())
        self.above_positive += int((teacher_scores >= teacher_positive[:, None])[present].sum())

    def report(self, teacher: str, sampling: str) -> MiningReport:
        """The sums and who teaches, as they are written."""
        return MiningReport(
            examples=self.pairs,
            negatives=self.negatives,
            negatives_per_example=round(self.negatives / max(self.pairs, 1), 3),
            too_few=TooFew(
                fewer_than=MINIMUM,
                examples=self.too_few,
                share=round(self.too_few / max(self.pairs, 1), 4),
            ),
            candidates={name: dict(sorted(c.items())) for name, c in self.counts.items()},
            false_negatives=FalseNegatives(
                estimated_rate=round(self.above_positive / max(self.negatives, 1), 4),
                by=f"negatives that the {self.estimator} scores at or above the positive",
            ),
            margins=Margins(edges=EDGES.tolist(), counts=self.margins.tolist()),
            teacher=teacher,
            sampling=sampling,
        )


def example_samples(
    block: Block, pairs: Sequence[CandidatePair], rows: Rows, documents: Corpus
) -> list[dict[str, Any]]:
    """Ten examples as a person reads them, spread evenly over a block."""
    places = range(0, len(block.pairs), max(1, len(block.pairs) // 10))[:10]
    return [_sample(block, i, pairs, rows, documents) for i in places]


def _sample(
    block: Block, i: int, pairs: Sequence[CandidatePair], rows: Rows, documents: Corpus
) -> dict[str, Any]:
    pair = pairs[int(block.pairs[i])]
    present = np.flatnonzero(block.negatives[i] != NO_ROW)
    positive, *others = documents.take([int(rows[block.pairs[i]]), *block.negatives[i, present].tolist()])
    return {
        "query": pair.query,
        "pair_origin": pair.origin,
        "positive": positive_text(positive, pair.query, pair.origin)[:EXCERPT],
        "positive_score": round(float(block.positive_scores[i]), 4),
        "negatives": [
            {
                "doc_id": document.doc_id,
                "miner": ORIGINS[int(block.miners[i, at])],
                "score": round(float(block.scores[i, at]), 4),
                "text": document_text(document.title, document.text)[:EXCERPT],
            }
            for at, document in zip(present, others, strict=True)
        ],
    }

"""The training set in memory: texts once, examples as positions.

Letters: n examples, m distinct document texts, k negatives per example.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from embedlib.contracts import Corpus, Document, Floats, Rows, document_text, read_rows
from embedlib.errors import DataError
from embedlib.mining.known_positives import KnownPositives
from embedlib.pairs.render import positive_text

Record = dict[str, Any]


@dataclass(frozen=True)
class TrainingSet:
    """Examples by position.

    Args:
        queries: Query text of each example, n strings.
        documents: Distinct document texts, m strings.
        rows: Corpus row of each document text, int64 [m].
        positives: Document of each example's positive, int64 [n].
        negatives: Documents of each example's negatives, int64 [n, k], -1 where there is none.
        relevant: Corpus rows known to be relevant to each example's query, n sets.
        names: Query id and document id of each example, for messages.
        numbers: Row of each example in ``examples.parquet``, int64 [n].
        teacher: Teacher's scores of the positive and the negatives, float32 [n, 1 + k]; NaN where
            there is none; None when no example has any.
    """

    queries: list[str]
    documents: list[str]
    rows: Rows
    positives: Rows
    negatives: Rows
    relevant: list[set[int]]
    names: list[str]
    numbers: Rows
    teacher: Floats | None = None

    def __len__(self) -> int:
        return len(self.queries)

    def subset(self, examples: Rows) -> TrainingSet:
        """The given examples, in the order given; documents are kept."""
        return replace(
            self,
            queries=[self.queries[i] for i in examples],
            positives=self.positives[examples],
            negatives=self.negatives[examples],
            relevant=[self.relevant[i] for i in examples],
            names=[self.names[i] for i in examples],
            numbers=self.numbers[examples],
            teacher=None if self.teacher is None else self.teacher[examples],
        )


class _Texts:
    """Distinct document texts in the order of first use."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.rows: list[int] = []
        self._at: dict[tuple[int, str], int] = {}

    def add(self, row: int, text: str) -> int:
        """Position of this document text."""
        position = self._at.setdefault((row, text), len(self.texts))
        if position == len(self.texts):
            self.texts.append(text)
            self.rows.append(row)
        return position


def load_training_set(
    corpus: Corpus, examples: Path, queries: Path, *, negatives: int, whole: bool = False
) -> TrainingSet:
    """Read an examples artifact.

    Args:
        corpus: The corpus its ids refer to.
        examples: Folder with ``examples.parquet``.
        queries: Folder of the queries artifact: its judgements tell known positives.
        negatives: Negatives kept of each example, the first ones.
        whole: Documents as they are, also where a query was taken from them: as a teacher has scored them.

    Raises:
        DataError: No example, or an id that is not in the corpus.
    """
    records = list(read_rows(examples / "examples.parquet"))
    if not records:
        raise DataError(
            "there is no training example",
            where=str(examples / "examples.parquet"),
            expected="at least 2",
            found="0",
            remedy="see the pairs and examples reports: which filter removed them?",
        )
    rows = _rows_of(corpus, records, negatives, examples)
    documents = dict(zip(rows, corpus.take(rows), strict=True))
    known = _known_positives(corpus, records, queries)
    text_of = (lambda d, *_: document_text(d.title, d.text)) if whole else positive_text
    return _assemble(corpus, records, documents, known, negatives, text_of)


def sample_documents(corpus: Corpus, most: int, seed: int) -> tuple[Rows, list[str]]:
    """At most ``most`` random documents, in corpus order: their rows, and them as an encoder sees them."""
    rng = np.random.default_rng([seed, *b"texts"])
    rows = np.sort(rng.choice(len(corpus), size=min(most, len(corpus)), replace=False))
    wanted = set(rows.tolist())
    return rows, [text for row, text in enumerate(corpus.texts()) if row in wanted]


def labelled_share(examples: Path) -> float:
    """Share of the examples whose pair is a judgement, not derived from a document."""
    origins = [row["origin"] for row in read_rows(examples / "examples.parquet", columns=["origin"])]
    return origins.count("label") / max(1, len(origins))


def _rows_of(corpus: Corpus, records: Sequence[Record], negatives: int, where: Path) -> list[int]:
    rows: set[int] = set()
    for record in records:
        for doc_id in (record["positive_id"], *(record["negative_ids"] or [])[:negatives]):
            row = corpus.row_of.get(doc_id)
            if row is None:
                raise DataError(
                    f"example of query {record['query_id']!r} names document {doc_id!r}",
                    where=str(where / "examples.parquet"),
                    expected="a doc_id of the corpus",
                    remedy="mine the examples anew from this corpus",
                )
            rows.add(row)
    return sorted(rows)


def _known_positives(corpus: Corpus, records: Sequence[Record], queries: Path) -> KnownPositives:
    """What is known to be relevant: from the judgements and from the examples."""
    known = KnownPositives()
    known.add_judgements(queries, corpus)
    for record in records:
        known.add(record["query"], [corpus.row_of[record["positive_id"]]])
    return known


def _assemble(
    corpus: Corpus,
    records: Sequence[Record],
    documents: dict[int, Document],
    known: KnownPositives,
    negatives: int,
    text_of: Callable[[Document, str, str], str],
) -> TrainingSet:
    texts = _Texts()
    n, k = len(records), max((len((r["negative_ids"] or [])[:negatives]) for r in records), default=0)
    positive, negative = np.empty(n, dtype=np.int64), np.full((n, k), -1, dtype=np.int64)
    teacher = np.full((n, 1 + k), np.nan, dtype=np.float32)
    for i, record in enumerate(records):
        row = corpus.row_of[record["positive_id"]]
        positive[i] = texts.add(row, text_of(documents[row], record["query"], record["origin"]))
        for j, doc_id in enumerate((record["negative_ids"] or [])[:k]):
            row = corpus.row_of[doc_id]
            negative[i, j] = texts.add(row, text_of(documents[row], record["query"], record["origin"]))
        for j, score in enumerate(_teacher_scores(record)[: 1 + k]):
            teacher[i, j] = score
    return TrainingSet(
        queries=[r["query"] for r in records],
        documents=texts.texts,
        rows=np.asarray(texts.rows, dtype=np.int64),
        positives=positive,
        negatives=negative,
        relevant=[known.rows(r["query"]) for r in records],
        names=[f"{r['query_id']} -> {r['positive_id']}" for r in records],
        numbers=np.arange(n),
        teacher=None if np.isnan(teacher).all() else teacher,
    )


def _teacher_scores(record: Record) -> list[float]:
    scores = (record["teacher_positive"], *(record["teacher_scores"] or []))
    return [np.nan if score is None else score for score in scores]

"""The quick development evaluation that chooses checkpoints, merge shares and pair origins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embedlib.contracts import Corpus, Doubles, Rows
from embedlib.errors import DataError
from embedlib.evaluation.judged import CHUNKS_READ, JudgedSet, primary_set, read_judged
from embedlib.evaluation.measures import hits_to_run, own_rows, score_run
from embedlib.models.encoder import Encoder
from embedlib.retrieval.dense import block_of, exact_search
from embedlib.retrieval.hits import Hits


def _rows_of(labels: Sequence[str], judged: set[str], size: int, rng: np.random.Generator) -> Rows:
    """Sorted rows to search in: every judged document, filled up to ``size`` with random others."""
    inside = np.array([label in judged for label in labels], dtype=np.bool_)
    rest = np.flatnonzero(~inside)
    more = min(len(rest), max(0, size - int(inside.sum())))
    extra = rng.choice(rest, size=more, replace=False)
    return np.sort(np.concatenate([np.flatnonzero(inside), extra])).astype(np.int64)


@dataclass(frozen=True)
class DevSet:
    """Dev queries and a small corpus that holds every judged document.

    Args:
        query_ids: Judged queries, [q].
        query_texts: Their texts, [q].
        doc_ids: Ids as the judgements name them, [n].
        doc_texts: What an encoder sees of each document, [n].
        qrels: Relevance by query id and document id.
        name: Kind of judgement: ``human``, ``log`` or ``derived``.
        rows: Corpus row of each document, int64 [n]; None where the set has a corpus of its own.
    """

    query_ids: list[str]
    query_texts: list[str]
    doc_ids: list[str]
    doc_texts: list[str]
    qrels: dict[str, dict[str, int]]
    name: str = "human"
    rows: Rows | None = None

    @classmethod
    def read(
        cls,
        corpus: Corpus,
        queries: Path,
        *,
        split: str = "dev",
        size: int = 3000,
        most_queries: int = 500,
        rng: np.random.Generator,
    ) -> DevSet | None:
        """The dev set of a queries artifact, of one kind of judgement; None without a usable query.

        It has ``size`` documents: every judged one, filled up with random others. More than ``most_queries``
        queries are sampled.
        """
        chosen = primary_set(read_judged(corpus, queries, split))
        return (
            None if chosen is None else cls.of(chosen.sample(most_queries, rng), corpus, size=size, rng=rng)
        )

    @classmethod
    def whole(
        cls,
        name: str,
        documents: Mapping[str, str],
        queries: Mapping[str, str],
        qrels: dict[str, dict[str, int]],
    ) -> DevSet | None:
        """A set with a corpus of its own: texts by id; None where no judged query has a relevant document."""
        answerable = sorted(q for q, judged in qrels.items() if any(r > 0 for r in judged.values()))
        if not answerable:
            return None
        ids = sorted(documents)
        texts = [queries[q] for q in answerable], [documents[i] for i in ids]
        return cls(answerable, texts[0], ids, texts[1], {q: qrels[q] for q in answerable}, name)

    @classmethod
    def of(cls, judged: JudgedSet, corpus: Corpus, *, size: int, rng: np.random.Generator) -> DevSet:
        """A judged set in a small corpus."""
        wanted = {d for documents in judged.qrels.values() for d in documents}
        rows = _rows_of(judged.labels, wanted, size, rng)
        return cls(
            judged.query_ids,
            judged.query_texts,
            [judged.labels[r] for r in rows],
            judged.texts_at(corpus, rows),
            judged.qrels,
            judged.name,
            np.asarray(rows, dtype=np.int64),
        )

    def score(self, encoder: Encoder, measure: str = "nDCG@10", *, depth: int = 100) -> tuple[float, Doubles]:
        """Encode queries and documents and measure the retrieval.

        Returns:
            The mean, and the value of each query in the order of ``query_ids``, [q].

        Raises:
            DataError: There is no query.
        """
        if not self.query_ids:
            raise DataError(
                "no judged query to choose by", remedy="give dev judgements, or leave the split to embedlib"
            )
        documents = encoder.encode_documents(self.doc_texts)
        queries = encoder.encode_queries(self.query_texts)
        chunks = max(Counter(self.doc_ids).values(), default=1)
        rows = min((depth + 8) * min(chunks, CHUNKS_READ), len(self.doc_ids))
        hits = exact_search(queries, block_of(documents), rows)
        per_query = self.values(hits, measure, depth=depth)
        return float(per_query.mean()), per_query

    def values(self, hits: Hits, measure: str = "nDCG@10", *, depth: int = 100) -> Doubles:
        """A measure of each query's hits, best first, [q]; a query's own document or text is no hit."""
        own = own_rows(self.query_ids, self.query_texts, self.doc_texts, self.doc_ids, self.qrels)
        run = hits_to_run(self.query_ids, hits, self.doc_ids, qrels=self.qrels, excluded=own, depth=depth)
        values = score_run(run, self.qrels, [measure])[measure]
        return np.array([values[q] for q in self.query_ids])

"""The judged queries of a split, one set a kind of judgement, ready to be evaluated on.

Human labels, click logs and queries derived from documents are never mixed in one figure: each
is a set of its own. For a derived query the document it was taken from is seen without it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from embedlib.contracts import Corpus, Floats, Judgements, Rows, read_judgements
from embedlib.corpus.derive import read_withheld
from embedlib.corpus.leaks import normalised
from embedlib.errors import DataError
from embedlib.retrieval.hits import Excluded

#: Kinds of judgement, the most trustworthy first.
FAMILIES = ("human", "log", "derived")
#: Chunks retrieved for each document wanted, where chunks stand for documents.
CHUNKS_READ = 4


@dataclass(frozen=True)
class JudgedSet:
    """Queries of one kind with their judgements, in the corpus they are asked of.

    Args:
        name: ``human``, ``log`` or ``derived`` (or a data set's name).
        query_ids: Judged queries, sorted, [q].
        query_texts: Their texts, [q].
        qrels: Relevance of judged documents by query id.
        labels: Id of each row as the judgements name it: its doc_id, or the id of the document
            that it is a chunk of, [n].
        withheld: Row and what is to be seen of it instead of its text, because the rest is a query.
        chunks: Maximum rows that carry one id.
        origins: Origin of each query.
        tags: A user's label of each query, where there is one.
    """

    name: str
    query_ids: list[str]
    query_texts: list[str]
    qrels: dict[str, dict[str, int]]
    labels: Sequence[str]
    withheld: Mapping[int, str]
    chunks: int
    origins: Mapping[str, str]
    tags: Mapping[str, str | None]

    def reach(self, depth: int, own: Excluded = ()) -> int:
        """Rows to retrieve for ``depth`` documents: more where chunks stand for one, or ``own`` is no hit."""
        wanted = depth * min(self.chunks, CHUNKS_READ) + max(map(len, own), default=0)
        return min(wanted, len(self.labels))

    @property
    def answerable(self) -> int:
        """Number of distinct questions with at least one relevant document."""
        asked = zip(self.query_ids, self.query_texts, strict=True)
        return len({normalised(text) for i, text in asked if any(r > 0 for r in self.qrels[i].values())})

    def texts(self, texts: Iterable[str]) -> Iterator[str]:
        """The corpus's texts with the withheld ones in their place."""
        for row, text in enumerate(texts):
            yield self.withheld.get(row, text)

    def texts_at(self, corpus: Corpus, rows: Sequence[int] | Rows) -> list[str]:
        """The texts of some rows, the withheld ones in their place."""
        return [self.withheld.get(int(r), t) for r, t in zip(rows, corpus.texts_at(rows), strict=True)]

    def sample(self, size: int, rng: np.random.Generator) -> JudgedSet:
        """At most ``size`` of the queries, drawn at random."""
        if len(self.query_ids) <= size:
            return self
        kept = sorted(rng.choice(len(self.query_ids), size=size, replace=False).tolist())
        ids = [self.query_ids[i] for i in kept]
        return replace(
            self,
            query_ids=ids,
            query_texts=[self.query_texts[i] for i in kept],
            qrels={q: self.qrels[q] for q in ids},
        )


def substituted(
    blocks: Iterable[tuple[int, Floats]], rows: Sequence[int], vectors: Floats
) -> Iterator[tuple[int, Floats]]:
    """Blocks of vectors with those at ``rows`` (sorted, [m]) replaced by ``vectors``, [m, d]."""
    wanted = np.asarray(rows, dtype=np.int64)
    for start, block in blocks:
        low, high = np.searchsorted(wanted, [start, start + len(block)])
        if high > low:
            block = block.copy()  # noqa: PLW2901 - the original may be a memory map
            block[wanted[low:high] - start] = vectors[low:high]
        yield start, block


def read_judged(corpus: Corpus, queries: Path, split: str) -> dict[str, JudgedSet]:
    """The judged sets of ``split`` by kind, most trustworthy first; kinds without queries are left out.

    Of a kind, queries without a relevant document are left out where others have one: no ranking could answer
    them, and in a mean they would hide what the others gain.

    Raises:
        DataError: A judgement names a document that is not in the corpus.
    """
    judgements = read_judgements(queries, split)
    withheld = read_withheld(queries)
    sets: dict[str, JudgedSet] = {}
    for family in FAMILIES:
        ids = sorted(q for q in judgements.qrels if judgements.origins.get(q, "").split(":")[0] == family)
        ids = [q for q in ids if any(r > 0 for r in judgements.qrels[q].values())] or ids
        if ids:
            sets[family] = judged_set(
                family, ids, judgements, corpus, withheld if family == "derived" else {}
            )
    return sets


def primary_set(sets: Mapping[str, JudgedSet]) -> JudgedSet | None:
    """The set that decides: human labels where there are any, else logs, else derived queries."""
    return next((sets[f] for f in FAMILIES if f in sets and sets[f].answerable), None)


def judged_set(
    name: str, ids: Sequence[str], judgements: Judgements, corpus: Corpus, withheld: Mapping[str, str]
) -> JudgedSet:
    """The judged queries ``ids`` with qrels and rows brought to the same document ids."""
    labels, qrels = project({q: judgements.qrels[q] for q in ids}, corpus)
    judged = {d for documents in qrels.values() for d in documents}
    rows = {corpus.row_of[d]: text for d, text in withheld.items() if d in corpus.row_of}
    return JudgedSet(
        name=name,
        query_ids=list(ids),
        query_texts=[judgements.queries[q] for q in ids],
        qrels=qrels,
        labels=labels,
        withheld={r: rows[r] for r in sorted(rows) if labels[r] in judged},
        chunks=1 if labels is corpus.ids else max(Counter(labels).values(), default=1),
        origins={q: judgements.origins[q] for q in ids},
        tags={q: judgements.labels[q] for q in ids},
    )


def project(
    qrels: Mapping[str, Mapping[str, int]], corpus: Corpus
) -> tuple[Sequence[str], dict[str, dict[str, int]]]:
    """Bring rows and judgements to the same ids.

    Where documents were cut, all rows carry their document's id, so that a document stands where its
    best chunk does. Only judgements that name chunks, and no document that was cut, are kept to rows.

    Returns:
        The id of each row, and the qrels in these ids.

    Raises:
        DataError: A judgement names neither a document nor a chunk.
    """
    judged = {d: query_id for query_id, documents in qrels.items() for d in documents}
    strange = next((d for d in judged if not corpus.rows_of(d)), None)
    if strange is not None:
        raise DataError(
            f"a judgement names a document that is not in the corpus: {strange!r}",
            where=f"query {judged[strange]!r}",
            expected="the id of a document, or of a chunk of one",
            remedy="remove the judgement, or ingest the document",
        )
    document_of = corpus.document_of
    names_chunks = not judged.keys().isdisjoint(document_of)
    if not document_of or (names_chunks and judged.keys() <= corpus.row_of.keys()):
        return corpus.ids, {q: dict(documents) for q, documents in qrels.items()}
    projected: dict[str, dict[str, int]] = {}
    for query_id, documents in qrels.items():
        best = projected.setdefault(query_id, {})
        for doc_id, relevance in documents.items():
            document = document_of.get(doc_id, doc_id)
            best[document] = max(relevance, best.get(document, 0))
    return [document_of.get(doc_id, doc_id) for doc_id in corpus.ids], projected

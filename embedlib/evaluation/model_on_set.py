"""One model's rankings of one judged set: what is a query is no hit, withheld texts are in place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from embedlib.contracts import Corpus, Floats, Rows
from embedlib.errors import DataError
from embedlib.evaluation.judged import JudgedSet, substituted
from embedlib.evaluation.measures import is_relevant, own_rows
from embedlib.models.encoder import Encoder, truncate
from embedlib.retrieval.bm25 import BM25Index
from embedlib.retrieval.dense import exact_search
from embedlib.retrieval.fusion import FUSION_DEPTH, Gathered, Rankers
from embedlib.retrieval.hits import Excluded, Hits, without
from embedlib.retrieval.lexical import lexical_scores
from embedlib.retrieval.moments import vector_moments
from embedlib.retrieval.plan import SearchPlan
from embedlib.retrieval.sparse import SparseIndex
from embedlib.vectors import Vectors


@dataclass(frozen=True)
class DenseSystem:
    """A model under a name, with the corpus's vectors that it made.

    Args:
        name: ``base``, ``candidate``, ``incumbent`` or any other.
        encoder: Encodes the queries (and the withheld texts) of a judged set.
        vectors: The corpus's vectors.
        dimensions: Shorter vectors (Matryoshka) to evaluate as systems ``name@dimension``.
    """

    name: str
    encoder: Encoder
    vectors: Vectors
    dimensions: tuple[int, ...] = ()


class ModelOnSet:
    """One model on one judged set; its queries and the withheld texts are encoded once.

    Args:
        judged: The set.
        system: The model with the corpus's vectors.
        bm25: Of the set's texts; without it there is no fusion.
        own: For each query the rows that are the query itself.
        sparse: A sparse encoder's term weights of the set's texts, for plans that give it a weight.
    """

    def __init__(
        self,
        judged: JudgedSet,
        system: DenseSystem,
        bm25: BM25Index | None,
        own: Excluded,
        sparse: SparseIndex | None = None,
    ) -> None:
        self.judged, self.system, self.own, self._bm25, self._sparse = judged, system, own, bm25, sparse
        self.queries = system.encoder.encode_queries(judged.query_texts)  # [q, d]
        self._rows = np.array(list(judged.withheld), dtype=np.int64)  # ascending
        self._replaced = (
            system.encoder.encode_documents(list(judged.withheld.values())) if judged.withheld else None
        )

    def dense(self, k: int) -> Hits:
        """The k nearest documents of each query."""
        return without(exact_search(self.queries, self.blocks, k), self.own)

    def shortened(self, k: int) -> Iterator[tuple[str, Hits]]:
        """The same by shorter vectors (Matryoshka), each under its name."""
        for size in self.system.dimensions:
            if size < self.system.vectors.dimension:
                blocks = partial(self._truncated_blocks, size)
                hits = exact_search(truncate(self.queries, size, normalized=True), blocks, k)
                yield f"{self.system.name}@{size}", without(hits, self.own)

    def gather(self, k: int, with_sparse: bool = False) -> Gathered:
        """The hits of the model, of BM25 and, if wanted, of the sparse encoder, each scored by all."""
        depth = max(k, FUSION_DEPTH)
        return self.rankers.gather(self.judged.query_texts, self.queries, depth, self.own, with_sparse)

    def answers(self, gathered: Gathered, k: int, plan: SearchPlan) -> Hits:
        """The k best documents of each query as a plan answers, or all that one ranking gathered."""
        if plan.mode != "hybrid":
            return gathered.dense if plan.mode == "dense" else gathered.lexical
        return self.rankers.fuse(gathered, self.judged.query_texts, self.queries, k, plan, self.own)

    def served(self, k: int, plan: SearchPlan) -> Hits:
        """The k best documents of each query as a plan answers; BM25 is not needed for the vectors alone."""
        if plan.mode == "dense":
            return self.dense(k)
        return self.answers(self.gather(k, plan.sparse_weight > 0), k, plan)

    @cached_property
    def rankers(self) -> Rankers:
        """The rankings of the set's corpus."""
        bm25, sparse = self._bm25, self._sparse
        if bm25 is None:
            raise DataError("fusion needs BM25", remedy="evaluate with bm25 on")
        return Rankers(
            dense=lambda queries, k: exact_search(queries, self.blocks, k),
            lexical=partial(lexical_scores, bm25),
            vectors_of=self._vectors_of,
            moments=vector_moments(self.blocks()),
            sparse=partial(lexical_scores, sparse) if sparse is not None else None,
        )

    def blocks(self) -> Iterable[tuple[int, Floats]]:
        """The corpus's vectors with the withheld texts' in their place."""
        if self._replaced is None:
            return self.system.vectors.blocks()
        return substituted(self.system.vectors.blocks(), list(self.judged.withheld), self._replaced)

    def _truncated_blocks(self, size: int) -> Iterator[tuple[int, Floats]]:
        return ((start, truncate(block, size, normalized=True)) for start, block in self.blocks())

    def _vectors_of(self, rows: Rows) -> Floats:
        vectors = self.system.vectors.take(rows)
        if self._replaced is not None:
            place = np.minimum(np.searchsorted(self._rows, rows), len(self._rows) - 1)
            withheld = self._rows[place] == rows
            vectors[withheld] = self._replaced[place[withheld]]
        return vectors


def own_rows_of(corpus: Corpus, judged: JudgedSet) -> Excluded:
    """For each query the rows that are the query itself, by its id or its text, and no relevant document."""
    texts = judged.texts(corpus.texts())
    own = own_rows(judged.query_ids, judged.query_texts, texts, judged.labels, judged.qrels)
    queries = set(judged.query_ids)
    for row, label in enumerate(judged.labels):
        if label in queries and not is_relevant(judged.qrels, label, label):
            own.setdefault(label, set()).add(row)
    return [own.get(query_id, set()) for query_id in judged.query_ids]

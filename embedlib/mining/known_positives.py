"""What is known to be relevant: documents that must never become negatives of a query."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from embedlib.contracts import Corpus, Rows, read_judgements
from embedlib.corpus.leaks import normalised


class KnownPositives:
    """Relevant rows by query text, over all splits and all pairs.

    Queries of the same normalised text share their positives: a document judged relevant under
    one id is relevant under another.
    """

    def __init__(self) -> None:
        self._rows: dict[str, set[int]] = defaultdict(set)

    def add(self, query: str, rows: Iterable[int]) -> None:
        """Record documents as relevant to a query."""
        self._rows[normalised(query)].update(rows)

    def add_judgements(self, queries: Path, corpus: Corpus) -> None:
        """Record what is judged relevant in any split of a queries artifact; all chunks of a document are."""
        for split in ("train", "dev", "test"):
            judged = read_judgements(queries, split)
            for query_id, relevance in judged.qrels.items():
                relevant = (doc_id for doc_id, value in relevance.items() if value > 0)
                rows = (row for doc_id in relevant for row in corpus.rows_of(doc_id))
                self.add(judged.queries[query_id], rows)

    def rows(self, query: str) -> set[int]:
        """Relevant rows of one query."""
        return self._rows.get(normalised(query), set())

    def of(self, queries: Sequence[str]) -> Rows:
        """Relevant rows of each query, int64 [q, most], ascending, -1 after the last."""
        found = [sorted(self.rows(query)) for query in queries]
        table = np.full((len(queries), max(1, max(map(len, found), default=1))), -1, dtype=np.int64)
        for i, rows in enumerate(found):
            table[i, : len(rows)] = rows
        return table


def text_classes(hashes: Sequence[str]) -> Rows:
    """A number for each row, equal for rows of equal text, int64 [n]."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(h, len(numbers)) for h in hashes], dtype=np.int64)

"""The pairs that are mined for, grouped by query."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from embedlib.contracts import CandidatePair, Corpus, Rows, read_rows
from embedlib.errors import DataError


class QueryBlock(NamedTuple):
    """Some queries with their pairs.

    Args:
        number: Which block, from 0.
        texts: q query texts.
        pairs: int64 [n], positions of the pairs.
        query: int64 [n], each pair's query within the block.
    """

    number: int
    texts: list[str]
    pairs: Rows
    query: Rows


class MiningPairs(NamedTuple):
    """All pairs.

    Args:
        pairs: n pairs.
        rows: int64 [n], each pair's document.
        queries: Distinct query texts in the order of first use.
        query: int64 [n], each pair's query.
    """

    pairs: list[CandidatePair]
    rows: Rows
    queries: list[str]
    query: Rows

    def blocks(self, size: int) -> Iterator[QueryBlock]:
        """Blocks of ``size`` queries with all their pairs."""
        order = np.argsort(self.query, kind="stable")
        bounds = np.searchsorted(self.query[order], np.arange(0, len(self.queries) + size, size))
        for number, (low, high) in enumerate(itertools.pairwise(bounds)):
            first = number * size
            pairs = order[low:high]
            yield QueryBlock(number, self.queries[first : first + size], pairs, self.query[pairs] - first)


def read_pairs(folder: Path, documents: Corpus, origins: Collection[str] | None = None) -> MiningPairs:
    """Read a pairs artifact.

    ``origins``, if given, are the only ones that are kept.

    Raises:
        DataError: There is no pair, or one names a document that is not in the corpus.
    """
    pairs = [CandidatePair(**row) for row in read_rows(folder / "pairs.parquet")]
    if origins is not None:
        pairs = [pair for pair in pairs if pair.origin in origins]
    if not pairs:
        raise DataError(
            "there is no training pair",
            where=str(folder / "pairs.parquet"),
            expected="at least one" + ("" if origins is None else f" of the origins {sorted(origins)}"),
            remedy="label some queries, or widen synthesize.origins; report.json says what was filtered",
        )
    strange = next((pair.doc_id for pair in pairs if pair.doc_id not in documents.row_of), None)
    if strange is not None:
        raise DataError(
            f"a pair names document {strange!r}, which is not in the corpus",
            where=str(folder / "pairs.parquet"),
            remedy="make the pairs anew from this corpus",
        )
    numbers: dict[str, int] = {}
    query = np.array([numbers.setdefault(pair.query, len(numbers)) for pair in pairs], dtype=np.int64)
    rows = np.array([documents.row_of[pair.doc_id] for pair in pairs], dtype=np.int64)
    return MiningPairs(pairs, rows, list(numbers), query)

"""Which chunk of a document answers a query: a label names the document, training needs the passage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from embedlib.contracts import Corpus
from embedlib.errors import DataError
from embedlib.retrieval.bm25 import build_bm25
from embedlib.retrieval.hits import NO_ROW

#: Documents whose chunks are read together.
BLOCK = 256


def answering_chunks(
    corpus: Corpus, asked: Mapping[str, Sequence[str]], held_out: frozenset[str] = frozenset()
) -> dict[tuple[str, str], str]:
    """The chunk closest to each query by BM25 among its document's own chunks.

    Titles are left out, which all chunks of a document share. A query that shares no word with any chunk
    gets the first one; of equally close ones the earlier counts.

    Args:
        corpus: The corpus.
        asked: Queries by the document that was cut and is judged relevant to them.
        held_out: Chunks that may not be chosen; a document with no other has no answer.

    Returns:
        doc_id of the chunk by (document, query).
    """
    found: dict[tuple[str, str], str] = {}
    rows_of = {d: [r for r in corpus.chunks[d] if corpus.ids[r] not in held_out] for d in asked}
    usable = sorted(document for document, rows in rows_of.items() if rows)
    for start in range(0, len(usable), BLOCK):
        block = usable[start : start + BLOCK]
        rows = sorted(row for document in block for row in rows_of[document])
        texts = {row: chunk.text for row, chunk in zip(rows, corpus.take(rows), strict=True)}
        for document in block:
            best = _closest(asked[document], [texts[row] for row in rows_of[document]])
            for query, position in zip(asked[document], best, strict=True):
                found[document, query] = corpus.ids[rows_of[document][position]]
    return found


def _closest(queries: Sequence[str], texts: Sequence[str]) -> list[int]:
    try:
        rows = build_bm25(texts).search(queries, 1).rows[:, 0]
    except DataError:  # no chunk has a word
        return [0] * len(queries)
    return [0 if row == NO_ROW else int(row) for row in rows]

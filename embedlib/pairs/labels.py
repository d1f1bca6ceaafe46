"""Labelled training pairs: the train split's relevant documents."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from embedlib.contracts import CandidatePair, Corpus, Judgements, read_judgements
from embedlib.corpus.leaks import normalised
from embedlib.errors import DataError
from embedlib.retrieval.bm25 import build_bm25
from embedlib.retrieval.hits import NO_ROW


class Labelled(NamedTuple):
    """Labelled pairs, and what became of the train split's judgements."""

    pairs: list[CandidatePair]
    counts: dict[str, int]


def labelled_pairs(queries: Path, corpus: Corpus, held_out: Collection[str]) -> Labelled:
    """The (query, relevant document) pairs of the train split, origin ``label``.

    A document that was cut gives the chunk that answers the query; ``held_out`` documents give no pair.

    Returns:
        Pairs by (query_id, doc_id); judgements of documents that are held out or not in the
        corpus, and queries whose text is a dev or test query's, are counted and left out.
    """
    train = read_judgements(queries, "train")
    others = (read_judgements(queries, split).queries for split in ("dev", "test"))
    protected = {normalised(text) for texts in others for text in texts.values()}
    answers = _answers(train, corpus, frozenset(held_out))
    pairs: list[CandidatePair] = []
    counts = {"made": 0, "like_dev_or_test": 0, "held_out": 0, "not_in_corpus": 0}
    for query_id in sorted(train.qrels):
        query = train.queries.get(query_id, "")
        for judged, relevance in sorted(train.qrels[query_id].items()):
            if relevance <= 0:
                continue
            counts["made"] += 1
            doc_id = answers.get((judged, query), judged)
            if normalised(query) in protected:
                counts["like_dev_or_test"] += 1
            elif doc_id in corpus.row_of and doc_id not in held_out:
                pairs.append(CandidatePair(query_id, query, doc_id, "label", float(relevance)))
            else:
                counts["held_out" if corpus.rows_of(judged) else "not_in_corpus"] += 1
    return Labelled(pairs, counts | {"kept": len(pairs)})


def _answers(train: Judgements, corpus: Corpus, held_out: frozenset[str]) -> dict[tuple[str, str], str]:
    """The chunk that answers, by (document, query), for judgements of documents that were cut."""
    asked: dict[str, list[str]] = {}
    for query_id, judged in train.qrels.items():
        for doc_id, relevance in judged.items():
            if relevance > 0 and doc_id in corpus.chunks:
                asked.setdefault(doc_id, []).append(train.queries.get(query_id, ""))
    return answering_chunks(corpus, asked, held_out)


#: Documents whose chunks are read together.
BLOCK = 256


def answering_chunks(
    corpus: Corpus, asked: Mapping[str, Sequence[str]], held_out: frozenset[str] = frozenset()
) -> dict[tuple[str, str], str]:
    """The chunk closest to each query by BM25 among its document's own chunks.

    Titles are left out, which all chunks of a document share. A query that shares no word with any chunk
    gets the first one; of equally close ones the earlier counts.

    ``asked`` are the queries by the cut document that is judged relevant to them. No chunk of ``held_out`` is
    chosen; a document with no other has no answer.

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

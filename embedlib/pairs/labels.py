"""Labelled training pairs: the train split's relevant documents."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from embedlib.contracts import Corpus, Judgements, read_judgements
from embedlib.corpus.leaks import normalised
from embedlib.pairs.answering import answering_chunks
from embedlib.pairs.candidate import CandidatePair


class Labelled(NamedTuple):
    """Labelled pairs, and what became of the train split's judgements."""

    pairs: list[CandidatePair]
    counts: dict[str, int]


def labelled_pairs(queries: Path, corpus: Corpus, held_out: Collection[str]) -> Labelled:
    """The (query, relevant document) pairs of the train split, origin ``label``.

    Args:
        queries: Folder of a queries artifact.
        corpus: The corpus; of a document that was cut, the chunk that answers the query is taken.
        held_out: Documents that give no training pairs.

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

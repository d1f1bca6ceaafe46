"""Labelled training pairs: the train split's relevant documents."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from embedlib.contracts import read_judgements
from embedlib.pairs.candidate import Candidate, normalised


class Labelled(NamedTuple):
    """Labelled pairs, and what became of the train split's judgements."""

    pairs: list[Candidate]
    counts: dict[str, int]


def labelled_pairs(queries: Path, row_of: Mapping[str, int], held_out: Collection[str]) -> Labelled:
    """The (query, relevant document) pairs of the train split, origin ``label``.

    Args:
        queries: Folder of a queries artifact.
        row_of: Row of each document of the corpus.
        held_out: Documents that give no training pairs.

    Returns:
        Pairs by (query_id, doc_id); judgements of documents that are held out or not in the
        corpus, and queries whose text is a dev or test query's, are counted and left out.
    """
    train = read_judgements(queries, "train")
    others = (read_judgements(queries, split).queries for split in ("dev", "test"))
    protected = {normalised(text) for texts in others for text in texts.values()}
    pairs: list[Candidate] = []
    counts = {"made": 0, "like_dev_or_test": 0, "held_out": 0, "not_in_corpus": 0}
    for query_id in sorted(train.qrels):
        query = train.queries.get(query_id, "")
        for doc_id, relevance in sorted(train.qrels[query_id].items()):
            if relevance <= 0:
                continue
            counts["made"] += 1
            if normalised(query) in protected:
                counts["like_dev_or_test"] += 1
            elif doc_id in held_out:
                counts["held_out"] += 1
            elif doc_id not in row_of:
                counts["not_in_corpus"] += 1
            else:
                pairs.append(Candidate(query_id, query, doc_id, "label", float(relevance)))
    return Labelled(pairs, counts | {"kept": len(pairs)})

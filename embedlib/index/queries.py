"""Texts to measure an index with: real queries where there are any, else beginnings of documents."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from embedlib.contracts import Corpus, read_rows

#: Words of a document that stand in for a query; people's queries are of this length.
WORDS = 8
#: With fewer real queries than this, sampled documents make up the number.
ENOUGH = 50


class QuerySample(NamedTuple):
    """Query texts and where they came from."""

    texts: list[str]
    source: str


def sample_queries(
    folder: Path | None, corpus: Corpus, limit: int, *, rng: np.random.Generator
) -> QuerySample:
    """Query texts for tuning: development queries first, then test texts, then documents' first words.

    Only the texts are used, never a judgement, so that the test split stays unseen.
    """
    texts: list[str] = []
    sources: list[str] = []
    for split in ("dev", "test"):
        found = [] if folder is None else _texts(folder, split)
        picked = _pick(found, limit - len(texts), rng)
        if picked:
            texts += picked
            sources.append(f"{len(picked)} {split}")
        if len(texts) >= min(ENOUGH, limit):
            return QuerySample(texts, " + ".join(sources))
    rows = rng.choice(len(corpus), size=min(limit - len(texts), len(corpus)), replace=False)
    stand_ins = [" ".join(f"{d.title} {d.text}".split()[:WORDS]) for d in corpus.take(np.sort(rows))]
    return QuerySample(texts + stand_ins, " + ".join([*sources, f"{len(stand_ins)} document"]))


def _texts(folder: Path, split: str) -> list[str]:
    rows = read_rows(folder / "queries.parquet", columns=["text", "split"])
    return sorted({row["text"] for row in rows if row["split"] == split})


def _pick(texts: list[str], limit: int, rng: np.random.Generator) -> list[str]:
    if len(texts) <= limit:
        return texts
    return [texts[i] for i in np.sort(rng.choice(len(texts), size=limit, replace=False))]

"""Teacher scores of drawn examples: by the hybrid, a cross-encoder or a larger encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from embedlib.contracts import Corpus, Floats, Rows
from embedlib.mining.blocks import Block
from embedlib.mining.teacher import HybridTeacher
from embedlib.models.encoder import Encoder
from embedlib.models.local import load_encoder
from embedlib.retrieval.dense import dense_scores
from embedlib.retrieval.hits import NO_ROW
from embedlib.retrieval.rerank import PairScorer, load_cross_encoder, score_rows
from embedlib.store import Work

Scored = tuple[Floats, Floats]
#: Teacher scores of a block's examples, float32 [n] of the positives and [n, k] of the negatives, -inf where
#: none, given the row of the first one in ``examples.parquet``, n query texts, int64 [n] rows of the
#: positives, and the block.
BlockScores = Callable[[int, Sequence[str], Rows, Block], Scored]

#: Examples whose documents' vectors are in memory at a time.
CHUNK = 1024


def teacher_scores(kind: str, model: str | None, documents: Corpus, work: Work) -> BlockScores:
    """How a teacher scores: none, hybrid, cross-encoder or encoder.

    Where nobody teaches, what candidates were ranked by, for the false-negative estimate.

    ``model`` is the cross-encoder's or encoder's name or folder. ``work.out`` holds ``teacher/`` for the
    hybrid, ``work.scratch`` keeps an encoder's vectors.

    Raises:
        ModelError: The model cannot be loaded.
    """
    if kind == "hybrid":
        return partial(_by_hybrid, HybridTeacher.load(work.out / "teacher"))
    if kind == "cross-encoder" and model is not None:
        return partial(_by_cross_encoder, load_cross_encoder(model), documents)
    if kind == "encoder" and model is not None:
        return EncoderTeacher(load_encoder(model), documents, work.scratch)
    return lambda start, queries, rows, block: (block.positive_ranking, block.ranking)


def _by_hybrid(hybrid: HybridTeacher, start: int, queries: Sequence[str], rows: Rows, block: Block) -> Scored:
    table = _table(rows, block)
    filled = np.where(table == NO_ROW, rows[:, None], table)
    examples = start + np.arange(len(rows))
    parts = [slice(low, low + CHUNK) for low in range(0, len(rows), CHUNK)]
    scores = np.concatenate([hybrid.pair_scores(examples[part], filled[part]) for part in parts])
    return _split(np.where(table == NO_ROW, np.float32(-np.inf), scores))


def _by_cross_encoder(
    score: PairScorer, documents: Corpus, start: int, queries: Sequence[str], rows: Rows, block: Block
) -> Scored:
    """By a model that reads query and document together (GPL, arXiv 2112.07577)."""
    return _split(score_rows(score, queries, _table(rows, block), documents.texts_at))


class EncoderTeacher:
    """A larger encoder; each document is encoded once, its vector kept in ``scratch``."""

    def __init__(self, encoder: Encoder, documents: Corpus, scratch: Path) -> None:
        self.encoder, self.documents = encoder, documents
        shape = (len(documents), encoder.dimension)
        path, known = scratch / "teacher-vectors.f32", scratch / "teacher-known.u1"
        mode: Literal["r+", "w+"] = "r+" if path.is_file() and known.is_file() else "w+"
        self._known = np.memmap(known, dtype=np.uint8, mode=mode, shape=shape[:1])
        self._vectors = np.memmap(path, dtype=np.float32, mode=mode, shape=shape)

    def __call__(self, start: int, queries: Sequence[str], rows: Rows, block: Block) -> Scored:
        """See ``BlockScores``."""
        table = _table(rows, block)
        self._encode(np.unique(table[table != NO_ROW]))
        distinct = list(dict.fromkeys(queries))
        vectors = self.encoder.encode_queries(distinct)
        place = {query: i for i, query in enumerate(distinct)}
        own = vectors[[place[query] for query in queries]]
        return _split(dense_scores(own, table, lambda wanted: self._vectors[wanted]))

    def _encode(self, rows: Rows) -> None:
        new = rows[self._known[rows] == 0]
        if len(new):
            self._vectors[new] = self.encoder.encode_documents(self.documents.texts_at(new))
            self._vectors.flush()  # the vectors are on disk before they count as known
            self._known[new] = 1
            self._known.flush()


def _table(rows: Rows, block: Block) -> Rows:
    """The positive and the negatives of each example, int64 [n, 1 + k]."""
    return np.concatenate([rows[:, None], block.negatives], axis=1)


def _split(scores: Floats) -> Scored:
    values = scores.astype(np.float32)
    return values[:, 0], values[:, 1:]

"""Teacher scores of drawn examples: by the hybrid, a cross-encoder or a larger encoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from embedlib.contracts import Corpus, Floats, Rows, document_text
from embedlib.mining.blocks import Block
from embedlib.mining.teacher import HybridTeacher
from embedlib.models.encoder import Encoder
from embedlib.models.local import load_encoder
from embedlib.retrieval.dense import dense_scores
from embedlib.retrieval.hits import NO_ROW
from embedlib.retrieval.rerank import PairScorer, load_cross_encoder, score_hits
from embedlib.store import Work

Scored = tuple[Floats, Floats]

#: Examples whose documents' vectors are in memory at a time.
CHUNK = 1024


class Teacher(Protocol):
    """Scores the positive and the negatives of a block's examples."""

    name: str

    def block_scores(self, start: int, queries: Sequence[str], rows: Rows, block: Block) -> Scored:
        """Teacher scores, float32 [n] of the positives and [n, k] of the negatives, -inf where none.

        Args:
            start: Row of the block's first example in ``examples.parquet``.
            queries: n query texts.
            rows: int64 [n], the positives.
            block: The block.
        """
        ...


class NoTeacher:
    """Nobody teaches: what candidates were ranked by, for the false-negative estimate only."""

    name = "ranking"

    def block_scores(self, start: int, queries: Sequence[str], rows: Rows, block: Block) -> Scored:
        """See ``Teacher``."""
        return block.positive_ranking, block.ranking


class StoredTeacher:
    """The hybrid, as stored beside the examples."""

    name = "hybrid"

    def __init__(self, folder: Path) -> None:
        self.hybrid = HybridTeacher.load(folder)

    def block_scores(self, start: int, queries: Sequence[str], rows: Rows, block: Block) -> Scored:
        """See ``Teacher``."""
        table = _table(rows, block)
        filled = np.where(table == NO_ROW, rows[:, None], table)
        examples = start + np.arange(len(rows))
        parts = [slice(low, low + CHUNK) for low in range(0, len(rows), CHUNK)]
        scores = np.concatenate([self.hybrid.pair_scores(examples[part], filled[part]) for part in parts])
        return _split(np.where(table == NO_ROW, np.float32(-np.inf), scores))


class CrossEncoderTeacher:
    """A model that reads query and document together (GPL, arXiv 2112.07577)."""

    name = "cross-encoder"

    def __init__(self, score: PairScorer, documents: Corpus) -> None:
        self.score, self.documents = score, documents

    def block_scores(self, start: int, queries: Sequence[str], rows: Rows, block: Block) -> Scored:
        """See ``Teacher``."""
        return _split(score_hits(self.score, queries, _table(rows, block), self._texts))

    def _texts(self, rows: Rows) -> list[str]:
        return [document_text(d.title, d.text) for d in self.documents.take(rows)]


class EncoderTeacher:
    """A larger encoder; each document is encoded once, its vector kept in ``scratch``."""

    name = "encoder"

    def __init__(self, encoder: Encoder, documents: Corpus, scratch: Path) -> None:
        self.encoder, self.documents = encoder, documents
        shape = (len(documents), encoder.dimension)
        path, known = scratch / "teacher-vectors.f32", scratch / "teacher-known.u1"
        mode: Literal["r+", "w+"] = "r+" if path.is_file() and known.is_file() else "w+"
        self._known = np.memmap(known, dtype=np.uint8, mode=mode, shape=shape[:1])
        self._vectors = np.memmap(path, dtype=np.float32, mode=mode, shape=shape)

    def block_scores(self, start: int, queries: Sequence[str], rows: Rows, block: Block) -> Scored:
        """See ``Teacher``."""
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
            texts = [document_text(d.title, d.text) for d in self.documents.take(new)]
            self._vectors[new] = self.encoder.encode_documents(texts)
            self._vectors.flush()  # the vectors are on disk before they count as known
            self._known[new] = 1
            self._known.flush()


def make_teacher(kind: str, model: str | None, documents: Corpus, work: Work) -> Teacher:
    """The teacher of a kind: none, hybrid, cross-encoder or encoder.

    Args:
        kind: Which.
        model: Name or folder of the model of the last two.
        documents: The corpus.
        work: ``out`` holds ``teacher/`` for the hybrid; ``scratch`` keeps an encoder's vectors.

    Raises:
        ModelError: The model cannot be loaded.
    """
    if kind == "hybrid":
        return StoredTeacher(work.out / "teacher")
    if kind == "cross-encoder" and model is not None:
        return CrossEncoderTeacher(load_cross_encoder(model), documents)
    if kind == "encoder" and model is not None:
        return EncoderTeacher(load_encoder(model), documents, work.scratch)
    return NoTeacher()


def _table(rows: Rows, block: Block) -> Rows:
    """The positive and the negatives of each example, int64 [n, 1 + k]."""
    return np.concatenate([rows[:, None], block.negatives], axis=1)


def _split(scores: Floats) -> Scored:
    values = scores.astype(np.float32)
    return values[:, 0], values[:, 1:]

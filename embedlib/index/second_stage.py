"""The second stage of a search: a cross-encoder orders the first hits anew."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import NamedTuple

from embedlib.contracts import Rows, document_text
from embedlib.errors import UserError
from embedlib.index.catalog import Release
from embedlib.index.snapshot import Encoders, Snapshot
from embedlib.retrieval.hits import Hits
from embedlib.retrieval.plan import SearchPlan
from embedlib.retrieval.rerank import PairScorer, load_cross_encoder, rerank_first

#: A cross-encoder by name, folder or function; True: the release's own; False: none; None: as ``mode`` says.
RerankBy = str | Path | PairScorer | bool | None


class Reranker(NamedTuple):
    """A cross-encoder and the name that clients know it by."""

    name: str
    score: PairScorer


class SecondStage(NamedTuple):
    """A cross-encoder, how many hits it reads, and its weight beside the first stage (None: all of it)."""

    score: PairScorer
    depth: int
    weight: float | None = None


class Rerankers:
    """Cross-encoders, loaded at most once while in use; the two used last are kept.

    Args:
        root: The workspace.
        depth: Hits that a cross-encoder reads a query, unless it is the release's own.
    """

    def __init__(self, root: Path, depth: int) -> None:
        self.root, self.depth = root, depth
        self._scorers: dict[str, PairScorer] = {}
        self._scoring, self._loading = threading.Lock(), threading.Lock()

    def choose(self, snapshot: Snapshot, mode: str | SearchPlan, rerank: RerankBy) -> SecondStage | None:
        """What orders the first hits anew; None where nothing does.

        Raises:
            UserError: The release's own is asked for, and it has none.
        """
        if rerank is not None and not isinstance(rerank, bool):
            return SecondStage(self._scorer(rerank), self.depth)
        plan = snapshot.release.rerank
        if rerank and plan is None:
            raise UserError(
                f"release {snapshot.number} has no reranker",
                where="rerank",
                remedy="name a cross-encoder, or train one: `embedlib rerank`",
            )
        if plan is None or rerank is False or (rerank is None and mode != "auto"):
            return None
        folder = snapshot.release.ref(self.root, "reranker").path
        return SecondStage(self._scorer(folder), plan.depth, plan.weight)

    def of_release(self, release: Release) -> Reranker | None:
        """A release's own under its content's name; None where it has none."""
        if release.rerank is None:
            return None
        part = release.parts["reranker"]
        return Reranker(f"embedlib-{part.digest[:12]}", self._scorer(part.ref(self.root).path))

    def apply(self, second: SecondStage, snapshot: Snapshot, texts: list[str], hits: Hits) -> Hits:
        """The hits in their new order; one search at a time is scored."""

        def texts_of(rows: Rows) -> list[str]:
            documents = [snapshot.documents.get(int(row)) for row in rows]
            return [document_text(d.title, d.text) for d in documents]

        with self._scoring:
            return rerank_first(second.score, texts, hits, texts_of, second.depth, second.weight)

    def _scorer(self, rerank: str | Path | PairScorer) -> PairScorer:
        if callable(rerank):
            return rerank
        with self._loading:
            name = str(rerank)
            scorer = self._scorers.pop(name, None) or load_cross_encoder(name)
            self._scorers[name] = scorer
            while len(self._scorers) > Encoders.KEPT:
                self._scorers.pop(next(iter(self._scorers)))
            return scorer

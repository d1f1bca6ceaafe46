"""Search in the live release, following new releases without a restart."""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, overload

from embedlib.contracts import Floats
from embedlib.corpus.records import is_unicode
from embedlib.errors import DataError, EmbedlibError, ReleaseError, UserError
from embedlib.index.answer import Answer, SearchHit, as_hits, first_of_groups
from embedlib.index.catalog import Release, current_number
from embedlib.index.filters import Filters
from embedlib.index.release_lock import ReleaseLock, lock_current
from embedlib.index.second_stage import RerankBy, Reranker, Rerankers
from embedlib.index.snapshot import DenseSearch, Encoders, Snapshot, Source
from embedlib.models.encoder import Encoder, check_texts, truncate
from embedlib.retrieval.hits import NO_ROW, Hits
from embedlib.retrieval.plan import BM25, DENSE, HYBRID, SearchPlan

logger = logging.getLogger(__name__)

#: Plans by name; ``auto`` is the release's own.
MODES = {"auto": None, "dense": DENSE, "bm25": BM25, "hybrid": HYBRID}


class Embedded(NamedTuple):
    """Vectors [n, dimension] by the model of one release, and how many tokens were read for them."""

    release: Release
    vectors: Floats
    tokens: int


class Searcher:
    """Answers queries from the live release; safe to share between threads.

    Each search is answered by one release, whole. A new release is noticed at the next search (one
    system call), opened in the background while the old one goes on answering, and then taken in
    one step. A release that cannot be opened is logged and left alone.

    Args:
        root: The workspace.
        rerank_depth: Hits that a cross-encoder reads a query, unless it is the release's own.
        load: Loads a model folder, for other devices or precisions than the default.
        on_demand: Whether model and index are opened when a search first needs them; for one search
            and no more, since others would wait.

    Raises:
        ReleaseError: Nothing was published, or the release cannot be read.
        MismatchError: Model and index of the release do not belong together.
        CorruptArtifact: A file of the release is damaged.
    """

    #: Why searches are not answered now; None if they are.
    problem: EmbedlibError | None = None

    def __init__(
        self,
        root: Path | str,
        *,
        rerank_depth: int = 50,
        load: Callable[[Path], Encoder] | None = None,
        on_demand: bool = False,
    ) -> None:
        self.root = Path(root)
        self._on_demand = on_demand
        self._encoders = Encoders(load)
        self._rerankers = Rerankers(self.root, rerank_depth)
        self._opening = threading.Lock()
        self._refused: Source | None = None
        self._pinned = False
        self._told = ""
        self._snapshot = self._open()

    @property
    def release(self) -> Release:
        """The release that would answer now."""
        return self._snapshot.release

    @overload
    def search(
        self,
        query: str,
        k: int = ...,
        mode: str | SearchPlan = ...,
        filters: Filters | None = ...,
        rerank: RerankBy = ...,
        one_per_group: bool = ...,
    ) -> list[SearchHit]: ...

    @overload
    def search(
        self,
        query: list[str],
        k: int = ...,
        mode: str | SearchPlan = ...,
        filters: Filters | None = ...,
        rerank: RerankBy = ...,
        one_per_group: bool = ...,
    ) -> list[list[SearchHit]]: ...

    def search(
        self,
        query: str | list[str],
        k: int = 10,
        mode: str | SearchPlan = "auto",
        filters: Filters | None = None,
        rerank: RerankBy = None,
        one_per_group: bool = False,
    ) -> list[SearchHit] | list[list[SearchHit]]:
        """Documents for one query, or for each of several.

        Args:
            query: A text, or several. What is longer than the model's limit is cut by the model.
            k: Hits per query; all documents when it is more than there are.
            mode: ``auto``: as the release's decisions chose, its reranker included; ``dense``; ``bm25``;
                ``hybrid``: both fused, with the release's weight where it is hybrid itself; or a plan of
                one's own.
            filters: Metadata fields that must equal a value or be one of several.
            rerank: A cross-encoder (name, folder or function) that orders the first hits anew; True: the
                release's own, whatever the mode; False: none.
            one_per_group: Keep only the best part of each ``group_id``.

        Returns:
            Hits best first; a list of lists for several queries.

        Raises:
            DataError: An empty query, k below 1, or an unknown metadata field.
            UserError: An unknown mode, BM25 where the index was built without it, or the release's
                reranker where it has none.
        """
        texts = [query] if isinstance(query, str) else list(query)
        found = self.answer(texts, k, mode, filters, rerank, one_per_group).hits
        return found[0] if isinstance(query, str) else found

    def answer(
        self,
        texts: list[str],
        k: int = 10,
        mode: str | SearchPlan = "auto",
        filters: Filters | None = None,
        rerank: RerankBy = None,
        one_per_group: bool = False,
    ) -> Answer:
        """``search`` of several queries that also says which release answered, and how, without a hit."""
        _check_request(texts, k, mode)
        snapshot = self._current()
        plan = _plan(snapshot, mode)
        k = min(k, len(snapshot))
        second = self._rerankers.choose(snapshot, mode, rerank)
        depth = k if second is None else min(max(k, second.depth), len(snapshot))
        answers = self._ranked(snapshot, texts, depth, plan, filters, one_per_group)
        how: str = plan.mode
        if second is not None:
            answers, how = self._rerankers.apply(second, snapshot, texts, answers), "reranked"
        found = [as_hits(snapshot, text, answers, i, k, how) for i, text in enumerate(texts)]
        return Answer(snapshot.number, how, found)

    def reranker(self) -> Reranker | None:
        """The live release's reranker under its content's name; None where it has none."""
        return self._rerankers.of_release(self._current().release)

    def embed(self, texts: list[str], role: str = "query", dimension: int | None = None) -> Embedded:
        """Vectors of texts by the model of the release, with its prompts.

        Args:
            texts: What to encode.
            role: ``query`` or ``document``: whose prompt stands before each text.
            dimension: Leading components to keep, at unit norm again (Matryoshka); all when None.

        Raises:
            DataError: An empty text, or a dimension that the model does not have.
        """
        check_texts(texts, "texts")
        snapshot = self._current()
        encoder = snapshot.encoder
        vectors = encoder.encode(texts) if role == "query" else encoder.encode_documents(texts)
        if dimension is not None and not 1 <= dimension <= vectors.shape[1]:
            raise DataError(
                "the model has no such dimension",
                where="dimension",
                expected=f"1 to {vectors.shape[1]}",
                found=str(dimension),
            )
        if dimension is not None:
            vectors = truncate(vectors, dimension, snapshot.info.normalized)
        return Embedded(snapshot.release, vectors, encoder.count_tokens(texts))

    def pinned(self, number: int) -> Searcher:
        """A searcher that stays with one release, live or earlier; it shares the loaded models of this one.

        Raises:
            ReleaseError: There is no such release, or it cannot be read.
        """
        searcher = copy.copy(self)
        searcher._opening, searcher._pinned = threading.Lock(), True
        searcher._snapshot = self._opened(ReleaseLock(self.root, number))
        return searcher

    def refresh(self) -> Release:
        """Open the live release now and wait for it, instead of at the next search in the background.

        Raises:
            EmbedlibError: It cannot be opened; the old one stays.
        """
        with self._opening:
            if not self._pinned and self._live_source() != self._snapshot.source:
                self._snapshot = self._open()
            self._refused = None
        return self.release

    def look(self) -> None:
        """Notice a new release now, without a search."""
        self._current()

    def _current(self) -> Snapshot:
        snapshot = self._snapshot
        if self._pinned:
            return snapshot
        try:
            source = self._live_source()
        except EmbedlibError as error:
            self._goes_on(error)
            return snapshot
        self._told = ""
        if source not in (snapshot.source, self._refused) and self._opening.acquire(blocking=False):
            threading.Thread(
                target=self._follow, args=(source,), name="embedlib-release", daemon=True
            ).start()
        return snapshot

    def _live_source(self) -> Source | None:
        """What is live now, as ``Snapshot.source`` of the release that should answer."""
        return current_number(self.root)

    def _goes_on(self, error: EmbedlibError) -> None:
        """Nobody can say what is live: what answered before goes on."""
        if str(error) != self._told:  # a server looks every second
            logger.warning("release %d goes on: %s", self._snapshot.number, error)
        self._told = str(error)

    def _follow(self, source: Source | None) -> None:
        """Open the new release; runs in a thread that owns ``_opening``."""
        try:
            opened = self._open()
            opened.prepare_like(self._snapshot)
            self._snapshot = opened
            self._refused = None
        except EmbedlibError as error:
            self._refused = source
            logger.error("what is live cannot be opened, release %d goes on: %s", self.release.number, error)
        finally:
            self._opening.release()

    def _open(self) -> Snapshot:
        hold = lock_current(self.root)
        if hold is None:
            raise ReleaseError(
                "nothing is published in this workspace",
                where=str(self.root / "releases"),
                remedy="`embedlib run` or `embedlib demo` publishes a first release",
            )
        return self._opened(hold)

    def _opened(self, hold: ReleaseLock, dense: DenseSearch | None = None) -> Snapshot:
        try:
            snapshot = Snapshot(self.root, hold, self._encoders, dense)
            if not self._on_demand:
                snapshot.open_all()
                self._rerankers.choose(snapshot, "auto", None)
            return snapshot
        except BaseException:
            hold.close()
            raise

    def _ranked(
        self,
        snapshot: Snapshot,
        texts: list[str],
        k: int,
        plan: SearchPlan,
        filters: Filters | None,
        one_per_group: bool,
    ) -> Hits:
        hits = snapshot.rank(texts, k, plan, filters)
        depth = k
        while one_per_group:
            kept = first_of_groups(snapshot, hits)
            enough = bool(((kept.rows != NO_ROW).sum(axis=1) >= k).all())
            if enough or depth >= len(snapshot):
                return Hits(kept.rows[:, :k], kept.scores[:, :k])
            depth = min(depth * 4, len(snapshot))
            hits = snapshot.rank(texts, depth, plan, filters)
        return hits


def _plan(snapshot: Snapshot, mode: str | SearchPlan) -> SearchPlan:
    if isinstance(mode, SearchPlan):
        return mode
    if mode == snapshot.plan.mode:
        return snapshot.plan
    return MODES[mode] or snapshot.plan


def _check_request(texts: list[str], k: int, mode: str | SearchPlan) -> None:
    if not isinstance(mode, SearchPlan) and mode not in MODES:
        raise UserError("unknown search mode", where="mode", expected=", ".join(MODES), found=repr(mode))
    if not isinstance(k, int) or k < 1:
        raise DataError("k must be at least 1", where="k", expected="1 or more", found=str(k))
    if not texts:
        raise DataError("there is no query", expected="at least one text", found="an empty list")
    for position, text in enumerate(texts):
        if isinstance(text, str) and not is_unicode(text):
            raise DataError(
                "the query is not valid UTF-8",
                where="query",
                found=ascii(text[:80]),
                remedy="give the text in UTF-8, or set the terminal's locale to it",
            )
        if not isinstance(text, str) or not text.strip():
            raise DataError(
                "the query is empty" if len(texts) == 1 else f"query {position} is empty",
                where="query",
                expected="a text with at least one character that is not a space",
                found=repr(text),
            )

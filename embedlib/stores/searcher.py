"""Search through a store: its vectors, and the release's model, BM25, fusion and texts beside them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from embedlib.contracts import Floats
from embedlib.errors import EmbedlibError, MismatchError, ReleaseError, ServiceError
from embedlib.index.answer import Answer
from embedlib.index.catalog import Release, read_release
from embedlib.index.release_lock import ReleaseLock
from embedlib.index.search import Searcher
from embedlib.index.snapshot import DenseSearch, Snapshot
from embedlib.models.encoder import truncate
from embedlib.redact import redact
from embedlib.retrieval.dense import dense_scores
from embedlib.retrieval.hits import Hits, sort_hits
from embedlib.stores.base import CollectionInfo, Found, VectorStore, store_errors
from embedlib.stores.verify import found_rows
from embedlib.vectors import Vectors

logger = logging.getLogger(__name__)

T = TypeVar("T")
#: Further hits asked of the store, so that of equal scores at the end the first rows are kept.
SPARE = 10
#: Seconds for which what a store said of its live collection is believed.
LOOK_S = 1.0


def live_collection(store: VectorStore) -> tuple[str, CollectionInfo]:
    """The collection that the target answers from.

    Raises:
        ReleaseError: Nothing was published into the target.
        ServiceError: The store cannot be reached, or refuses.
    """
    with store_errors(store):
        name = store.live()
        known = store.collections()
    if name is None:
        raise ReleaseError(
            "nothing was published into this store",
            where=redact(store.address),
            remedy="`embedlib push-index` publishes the live release",
        )
    return name, known[name]


def search_store(store: VectorStore, queries: Floats, k: int, *, model_digest: str) -> list[list[Found]]:
    """Documents of the live collection for query vectors of a model.

    Args:
        store: The target.
        queries: float32 [q, dimension of the collection].
        k: Hits per query.
        model_digest: Content digest of the model that encoded the queries.

    Raises:
        MismatchError: The collection's vectors are of another model.
        ReleaseError: Nothing was published into the target.
    """
    name, info = live_collection(store)
    if info.model_digest != model_digest:
        raise MismatchError(
            "the queries were encoded by another model than the store's vectors",
            where=f"{redact(store.address)}, collection {name}",
            expected=f"model {info.model_digest} (release {info.release})",
            found=f"model {model_digest}",
            remedy="encode with that release's model, or push the release of this one: `embedlib push-index`",
        )
    with store_errors(store):
        return store.search(name, queries, k, exact=info.index == "exact")


class _Refilled(ServiceError):
    """A collection is not any more what was opened."""


class StoreSearcher(Searcher):
    """A ``Searcher``, with its options, whose dense ranking and plan come from a store.

    It answers with the release that the store's live collection holds, and follows its cut-overs as a
    ``Searcher`` follows releases; the release must be in the workspace. BM25, fusion, filters of few
    documents and texts are the release's. After each search the store is asked whether the collection
    holds what it held when it was opened: an answer is of one release, or there is none.

    Raises:
        MismatchError: The store's collection is not of the release that it names in this workspace.
        ReleaseError: Nothing was published into the store, or the release is not in the workspace.
        ServiceError: The store cannot be reached.
    """

    def __init__(self, root: Path | str, store: VectorStore, **options: Any) -> None:
        self._store = store
        self._asking = threading.Lock()
        self._live: tuple[str, CollectionInfo]
        self._asked = -LOOK_S
        super().__init__(root, **options)

    def answer(self, *request: Any, **options: Any) -> Answer:
        """As ``Searcher.answer``.

        Raises:
            ServiceError: The store cannot be reached.
        """
        try:
            return super().answer(*request, **options)
        except _Refilled:
            self.refresh()
            return super().answer(*request, **options)

    def refresh(self) -> Release:
        """As ``Searcher.refresh``: open now what the store holds."""
        self._asked = -LOOK_S
        return super().refresh()

    def look(self) -> None:
        """Ask the store now whether it answers, and from which collection."""
        self._asked = -LOOK_S
        super().look()

    def _live_source(self) -> tuple[str, CollectionInfo]:
        if time.monotonic() >= self._asked + LOOK_S:
            self._asked = time.monotonic()
            self._live = self._ask(lambda: live_collection(self._store))
        return self._live

    def _goes_on(self, error: EmbedlibError) -> None:
        """``_ask`` has told it."""

    def _ask(self, question: Callable[[], T]) -> T:
        """What the store says."""
        with self._asking, self._noted(), store_errors(self._store):
            return question()

    @contextmanager
    def _noted(self) -> Iterator[None]:
        before = self.problem
        try:
            yield
            self.problem = None
        except EmbedlibError as error:
            self.problem = error
            if before is None:
                logger.error("the store does not answer: %s", error)
            raise
        if before is not None:
            logger.info("the store answers again")

    def _is_refilled(self, name: str, info: CollectionInfo) -> bool:
        """Whether a collection is gone, or not what it was: each load gives it another serial."""
        now = self._store.collections().get(name)
        return now is None or not now.whole or now.serial != info.serial

    def _open(self) -> Snapshot:
        self._asked = -LOOK_S
        name, info = source = self._live_source()
        hold = ReleaseLock(self.root, info.release)
        release = read_release(self.root, info.release)
        theirs = {"model": info.model_digest, "corpus": info.corpus_digest}
        for part, digest in theirs.items():
            if release.parts[part].digest != digest:
                hold.close()
                raise MismatchError(
                    f"the store holds another {part} than release {info.release} of this workspace",
                    where=f"{redact(self._store.address)}, collection {name}",
                    expected=f"{part} {release.parts[part].digest}",
                    found=f"{part} {digest}",
                    remedy="name the workspace that was pushed, or give `embedlib push-index` in this one",
                )
        vectors = Vectors(release.ref(self.root, "vectors").path)
        snapshot = self._opened(hold, self._dense_by(name, info, vectors))
        snapshot.source = source
        return snapshot

    def _dense_by(self, name: str, info: CollectionInfo, vectors: Vectors) -> DenseSearch:
        row_of = {doc_id: row for row, doc_id in enumerate(vectors.ids)}
        normalized = vectors.info.normalized

        def scored(full: Floats) -> Floats:
            return truncate(full, info.dimension, normalized)

        def search(queries: Floats, k: int) -> Hits:
            depth = min(k + SPARE, info.count)

            def found() -> list[list[Found]]:
                return self._store.search(name, scored(queries), depth, exact=info.index == "exact")

            def question() -> list[list[Found]] | None:
                try:
                    answers = found()
                except self._store.errors:  # a server that was restarted, say: it is asked once more
                    answers = [] if self._is_refilled(name, info) else found()
                return None if self._is_refilled(name, info) else answers

            answers = self._ask(question)
            if answers is None:
                raise _Refilled(
                    f"the collection {name!r} was filled anew while it was searched",
                    where=redact(self._store.address),
                    remedy="ask again",
                )
            rows = found_rows(answers, row_of, depth)
            scores = dense_scores(scored(queries), rows, lambda wanted: scored(vectors.take(wanted)))
            return sort_hits(rows, scores, k)

        return search

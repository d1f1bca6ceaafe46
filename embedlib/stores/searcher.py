"""Search through a store: its vectors, and the release's model, BM25, fusion and texts beside them."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from embedlib.contracts import Floats, Vectors
from embedlib.errors import MismatchError, ReleaseError
from embedlib.index.catalog import read_release
from embedlib.index.dense import VectorRows, truncate
from embedlib.index.release_lock import ReleaseLock
from embedlib.index.search import Searcher
from embedlib.index.snapshot import DenseSearch, Snapshot
from embedlib.redact import redact
from embedlib.retrieval.dense import dense_scores
from embedlib.retrieval.hits import Hits, sort_hits
from embedlib.stores.base import CollectionInfo, Found, VectorStore, store_errors
from embedlib.stores.verify import found_rows

#: Further hits asked of the store, so that of equal scores at the end the first rows are kept.
SPARE = 10


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


class StoreSearcher(Searcher):
    """A ``Searcher`` whose dense ranking comes from a store, with the plan that is kept there.

    It answers with the release that the store's live collection holds, and follows its cut-overs; the
    release must be in the workspace. BM25, fusion, filters of few documents and texts are the release's.

    Args:
        root: The workspace.
        store: The target.
        **options: As for ``Searcher``.

    Raises:
        MismatchError: The store's collection is not of the release that it names in this workspace.
        ReleaseError: Nothing was published into the store, or the release is not in the workspace.
    """

    def __init__(self, root: Path | str, store: VectorStore, **options: Any) -> None:
        self._store = store
        self._asking = threading.Lock()
        self._live = live_collection(store)
        super().__init__(root, **options)

    def _current(self) -> Snapshot:
        with self._asking:
            live = live_collection(self._store)
            if live != self._live:
                before, self._live = self._live, live
                try:
                    self._snapshot = self._open()
                except BaseException:
                    self._live = before
                    raise
            return self._snapshot

    def _open(self) -> Snapshot:
        name, info = self._live
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
        return self._opened(hold, self._dense_by(name, info, vectors))

    def _dense_by(self, name: str, info: CollectionInfo, vectors: Vectors) -> DenseSearch:
        stored, row_of = VectorRows(vectors), {doc_id: row for row, doc_id in enumerate(vectors.ids)}
        normalized = vectors.info.normalized

        def scored(full: Floats) -> Floats:
            return truncate(full, info.dimension, normalized)

        def search(queries: Floats, k: int) -> Hits:
            depth = min(k + SPARE, info.count)
            with self._asking, store_errors(self._store):
                answers = self._store.search(name, scored(queries), depth, exact=info.index == "exact")
            rows = found_rows(answers, row_of, depth)
            scores = dense_scores(scored(queries), rows, lambda wanted: scored(stored.take(wanted)))
            return sort_hits(rows, scores, k)

        return search

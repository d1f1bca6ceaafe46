"""The same hits through FAISS and through each store; a query by another model is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from index_workspace import ShiftedEncoder, Workspace, load, words
from published import WORDS, publish_base, small_config

from embedlib.errors import MismatchError, ReleaseError
from embedlib.index.search import Searcher
from embedlib.index.verify import Checks
from embedlib.retrieval.plan import SearchPlan
from embedlib.stores.base import VectorStore
from embedlib.stores.push import PushOptions, push_release
from embedlib.stores.searcher import StoreSearcher, search_store


def push(workspace: Workspace, target: VectorStore, shift: int = 0) -> None:
    checks = Checks(encoder=ShiftedEncoder(shift))
    push_release(workspace.root, target, "docs", PushOptions(500, "exact", checks))


def same_hits(root: Path, target: VectorStore, queries: list[str]) -> None:
    """Whether FAISS and the store find the same documents in the same order, however they are asked."""
    push_release(root, target, "docs", PushOptions(500, "exact"))
    faiss, store = Searcher(root), StoreSearcher(root, target)
    for mode in ("auto", "dense", "hybrid", SearchPlan(mode="hybrid", weight=0.7), "bm25"):
        there, here = store.answer(queries, 10, mode), faiss.answer(queries, 10, mode)
        ids = [[[hit.doc_id for hit in hits] for hits in answer.hits] for answer in (there, here)]
        assert ids[0] == ids[1]
        assert (there.mode, len(ids[0])) == (here.mode, len(queries))


def test_200_queries_have_the_same_top_10_in_every_mode(released, target):
    rng = np.random.default_rng(0)
    same_hits(released, target, [" ".join(rng.choice(WORDS, size=5, replace=False)) for _ in range(200)])


@pytest.fixture(scope="module")
def cranfield(shared_data, minilm, tmp_path_factory) -> Path:
    """A release of 1,398 real documents by all-MiniLM-L6-v2, hybrid or whatever its decision chose."""
    config = small_config(
        tmp_path_factory.mktemp("cranfield") / "workspace", shared_data / "cranfield", minilm
    )
    publish_base(config)
    return config.workspace


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_200_queries_of_people_have_the_same_top_10(shared_data, cranfield, target):
    with (shared_data / "cranfield" / "queries.jsonl").open() as lines:
        queries = [json.loads(line)["text"] for line in lines][:200]
    same_hits(cranfield, target, queries)
    pushed = push_release(cranfield, target, "docs", PushOptions(500, "hnsw"))
    assert pushed.sent == target.collections()["docs_0002"].count > 1_300


def test_a_query_by_another_model_is_refused(workspace, target):
    parts = workspace.parts(words(30))
    workspace.publish(parts)
    vectors = load(parts["model"].path).encode_queries(["some words"])
    with pytest.raises(ReleaseError, match="nothing was published into this store"):
        search_store(target, vectors, 3, model_digest=parts["model"].digest)
    push(workspace, target)
    assert len(search_store(target, vectors, 3, model_digest=parts["model"].digest)[0]) == 3
    with pytest.raises(MismatchError, match="encoded by another model than the store's vectors"):
        search_store(target, vectors, 3, model_digest=workspace.model(4).digest)


def test_a_workspace_that_was_not_pushed_is_refused(workspace, target, tmp_path):
    workspace.publish(workspace.parts(words(30)))
    push(workspace, target)
    other = Workspace(tmp_path / "other")
    other.publish(other.parts(words(30), shift=2))
    with pytest.raises(MismatchError, match="another model than release 1 of this workspace"):
        StoreSearcher(other.root, target, load=load)


def test_the_searcher_follows_the_store_and_not_the_workspace(workspace, target):
    workspace.publish(workspace.parts(words(30)))
    push(workspace, target)
    searcher = StoreSearcher(workspace.root, target, load=load)
    texts = words(30, seed=3)
    workspace.publish(workspace.parts(texts, shift=1))
    assert searcher.search("word")[0].release == 1
    push(workspace, target, shift=1)
    assert searcher.pinned(1).search("word")[0].release == 1
    searcher.refresh()
    hits = searcher.search(texts["doc0004"], k=1, mode="dense")
    assert (hits[0].doc_id, hits[0].release) == ("doc0004", 2)

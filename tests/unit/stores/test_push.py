"""One procedure for every store: whole collections, deltas, one step, the same hits as FAISS."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pytest
from index_workspace import ShiftedEncoder, Workspace, load, words

from embedlib.contracts import CHUNKS, CHUNKS_FILE, write_table
from embedlib.errors import VerificationError
from embedlib.index.dense import DenseIndex
from embedlib.index.verify import Checks
from embedlib.retrieval.plan import HYBRID
from embedlib.stores import push as push_module
from embedlib.stores.base import VectorStore
from embedlib.stores.push import Pushed, PushOptions, push_release
from embedlib.vectors import Vectors

DOCUMENTS = 60


@pytest.fixture
def push(workspace: Workspace, target: VectorStore) -> Callable[..., Pushed]:
    def run(number: int | None = None, shift: int = 0, canaries=(), index="hnsw", **options) -> Pushed:
        checks = Checks(tuple(canaries), k=3, encoder=ShiftedEncoder(shift))
        given = PushOptions(7, index, checks, **options)
        return push_release(workspace.root, target, "docs", given, number=number)

    return run


def held(store: VectorStore) -> dict[str, str]:
    return {key: value for page in store.held(store.live()) for key, value in zip(*page, strict=True)}


def found(store: VectorStore, text: str, shift: int = 0, k: int = 3) -> list[str]:
    queries = ShiftedEncoder(shift).encode_queries([text])
    return [hit.doc_id for hit in store.search(store.live(), queries, k, exact=True)[0]]


def test_a_first_release_is_loaded_and_answers_as_faiss_does(workspace, target, push):
    texts = words(DOCUMENTS)
    parts = workspace.parts(texts)
    workspace.publish(parts)
    assert push(index="exact") == Pushed(1, "docs_0001", DOCUMENTS, 0, reused=False)
    info = target.collections()["docs_0001"]
    assert (info.model_digest, info.count, info.whole) == (parts["model"].digest, DOCUMENTS, True)
    queries = load(parts["model"].path).encode_queries([text[:11] for text in texts.values()])
    dense = DenseIndex.open(parts["index"].path, Vectors(parts["vectors"].path))
    ids = sorted(texts)
    expected = dense.search(queries, 10)
    for i, answer in enumerate(target.search("docs_0001", queries, 10, exact=True)):
        np.testing.assert_allclose([hit.score for hit in answer], expected.scores[i], atol=1e-5)
        clear = expected.scores[i] > expected.scores[i, -1] + 1e-5
        assert {hit.doc_id for hit in answer} >= {ids[row] for row in expected.rows[i, clear]}
    assert push(index="exact").reused


def test_who_waits_for_another_pushes_what_is_live_then(workspace, push, target, monkeypatch):
    workspace.publish(workspace.parts(words(12)))
    locked = push_module.file_lock

    @contextmanager
    def waits(path):
        workspace.publish(workspace.parts(words(13)))
        with locked(path) as held:
            yield held

    monkeypatch.setattr(push_module, "file_lock", waits)
    assert push().release == 2


def test_a_canary_names_a_document_that_was_cut(workspace, push, target):
    parts = workspace.parts(words(12) | {"z#0001": "zzzz zzzz", "z#0002": "zyzy zyzy"})
    workspace.publish(parts)
    rows = [{"doc_id": chunk, "document_id": "z"} for chunk in ("z#0001", "z#0002")]
    write_table(parts["corpus"].file(CHUNKS_FILE), rows, CHUNKS)
    assert push(canaries=[("zzzz", "z")]).sent == 14


def test_a_refresh_sends_what_changed_and_deletes_what_is_gone(workspace, target, push):
    texts = words(DOCUMENTS)
    workspace.publish(workspace.parts(texts))
    push()
    for round_ in range(3):
        changed = "abc"[round_] * 9 + " changed"
        texts[f"doc{round_:04d}"], texts[f"new{round_:04d}"] = changed, "xyz"[round_] * 9 + " added"
        del texts[f"doc00{50 + round_}"]
        workspace.publish(workspace.parts(texts))
        done = push()
        if target.copies:
            assert (done.sent, done.deleted) == ((2, 1) if round_ == 0 else (4, 2))
        else:  # the first collection beside the live one is loaded whole
            assert (done.sent, done.deleted) == ((DOCUMENTS, 0) if round_ == 0 else (4, 2))
        assert len(held(target)) == len(texts) == target.collections()[done.collection].count
        assert found(target, changed, k=1) == [f"doc{round_:04d}"]
        assert len(target.collections()) == 2


def test_a_rollback_is_one_step_back_to_what_is_there(workspace, target, push):
    workspace.publish(workspace.parts(words(DOCUMENTS)))
    push()
    old = held(target)
    workspace.publish(workspace.parts(words(DOCUMENTS, seed=1), shift=3))
    assert push(shift=3).sent == DOCUMENTS
    assert held(target) != old
    back = push(number=1)
    assert (back.release, back.collection, back.sent, back.deleted) == (1, "docs_0001", 0, 0)
    assert held(target) == old


def test_another_model_never_shares_a_collection(workspace, target, push):
    texts = words(DOCUMENTS)
    workspace.publish(workspace.parts(texts))
    push()
    workspace.publish(workspace.parts(texts, shift=1))
    assert push(shift=1).sent == DOCUMENTS
    workspace.publish(workspace.parts(texts, shift=2))
    assert push(shift=2).sent == DOCUMENTS
    known = target.collections()
    assert sorted(info.release for info in known.values()) == [2, 3]
    assert len({info.model_digest for info in known.values()}) == 2


def test_what_was_never_live_does_not_cost_the_one_that_was(workspace, target, push, monkeypatch):
    texts = words(DOCUMENTS)
    for shift in range(2):
        workspace.publish(workspace.parts(texts, shift=shift))
        push(shift=shift)
    workspace.publish(workspace.parts(texts, shift=2))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(type(target), "cut_over", interrupted)
        push(shift=2)
    assert len(target.collections()) == 3
    assert push(number=2, shift=1).reused
    assert {info.release for info in target.collections().values()} == {1, 2}


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_what_fails_its_verification_does_not_go_live(workspace, target, push):
    workspace.publish(workspace.parts(words(DOCUMENTS)))
    push()
    old = held(target)
    workspace.publish(workspace.parts(words(DOCUMENTS, seed=1)))
    with pytest.raises(VerificationError, match="the canary 'zzz' does not find 'nowhere' among 3 hits"):
        push(canaries=[("zzz", "nowhere")])
    assert held(target) == old
    assert target.live() == "docs_0001"
    assert push().sent == 0  # everything was loaded already


@pytest.mark.parametrize("fault", ["lost", "foreign", "changed", "vectors"])
def test_what_others_did_to_the_rows_is_found(workspace, target, push, monkeypatch, fault):
    workspace.publish(workspace.parts(words(DOCUMENTS)))
    finish, upsert = type(target).finish, type(target).upsert
    sent = []

    def kept(self, name, rows):
        if fault == "vectors":
            rows = rows.set_column(
                rows.num_columns - 1, "vector", rows["vector"].take(pa.array(range(len(rows)))[::-1])
            )
        sent.append(rows.slice(0, 1))
        upsert(self, name, rows)

    def spoiled(self, name, info):
        row = sent[0]
        if fault == "lost":
            self.delete(name, row["key"].to_pylist())
        elif fault != "vectors":
            column = "key" if fault == "foreign" else "row_hash"
            place = row.schema.get_field_index(column)
            upsert(self, name, row.set_column(place, column, pa.array(["0" * 32])))
        finish(self, name, info)

    monkeypatch.setattr(type(target), "upsert", kept)
    monkeypatch.setattr(type(target), "finish", spoiled)
    said = {
        "lost": "it holds 59 rows for 60 documents; 1 documents are missing",
        "foreign": "it holds 61 rows for 60 documents.*1 rows are of no document",
        "changed": "it holds 60 rows for 60 documents; 1 documents are missing or differ",
        "vectors": r"recall@10 is 0\.\d+, below the target 0.95",
    }
    with pytest.raises(VerificationError, match=said[fault]):
        push()
    assert target.live() is None


def test_the_plan_follows_its_decision_without_a_load(workspace, target, push):
    texts = words(DOCUMENTS)
    workspace.publish(workspace.parts(texts))
    push()
    changed = {**texts, "doc0000": "another text"}
    workspace.publish(workspace.parts(changed))
    workspace.publish(workspace.parts(texts), search=HYBRID)
    done = push()
    assert (done.release, done.reused, done.sent) == (3, True, 0)
    assert target.collections()[done.collection].search == HYBRID


def test_a_graph_index_reaches_the_recall_too(workspace, target, push):
    workspace.publish(workspace.parts(words(300)))
    assert push(index="hnsw").sent == 300
    assert target.collections()["docs_0001"].index == "hnsw"
    assert found(target, words(300)["doc0007"], k=1) == ["doc0007"]

"""Corpus to vectors: order, incrementality, shards as units of work, resume, bad vectors."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toys import ToyEncoder

from embedlib.contracts import CORPUS, content_hash, write_table
from embedlib.errors import DataError, ModelError, StoreError
from embedlib.index import encode
from embedlib.index.encode import (
    Encoding,
    drop_assembled_shards,
    encode_corpus,
    encode_shard,
    plan_shards,
)
from embedlib.index.vector_cache import cached_vectors, read_hashes
from embedlib.models.encoder import unusable
from embedlib.store import Recipe
from embedlib.vectors import Vectors


class Counting(ToyEncoder):
    """The toy encoder with what a local one counts beside it."""

    tokens = truncated = 0
    normalized = True

    def encode_documents(self, texts, *, progress=None):
        self.tokens += sum(len(t.split()) for t in texts)
        progress(len(texts), len(texts), "encoding")
        return super().encode_documents(texts)


@pytest.fixture
def toy(monkeypatch):
    encoder = Counting()
    monkeypatch.setattr(encode, "_encoder", lambda encoding: encoder)
    return encoder


@pytest.fixture
def encoding(tmp_path):
    return Encoding(tmp_path / "model", "digest-of-toy", "fp32", "float32")


def make_corpus(store, documents):
    """A corpus artifact of {doc_id: text}."""

    def make(work):
        rows = (
            {
                "doc_id": doc_id,
                "title": "",
                "text": text,
                "source": "test",
                "group_id": doc_id,
                "content_hash": content_hash("", text),
                "metadata": "{}",
            }
            for doc_id, text in sorted(documents.items())
        )
        return {"documents": write_table(work.out / "corpus.parquet", rows, CORPUS)}

    return store.build(Recipe("ingest", "corpus", "code", {"documents": documents}), make).ref


def run(store, corpus, encoding, shard_size=4):
    """The encode stage's work as the store runs it."""
    recipe = Recipe("encode", "vectors", "code", encoding.identity, {"corpus": corpus})
    built = store.build(
        recipe, lambda w: encode_corpus(store, corpus, encoding, w.out, shard_size=shard_size)
    )
    return built.ref, built.ref.manifest.summary


DOCUMENTS = {f"d{i:02d}": f"{'abcdefghij'[i % 10] * (i + 1)} text" for i in range(10)}


def test_vectors_in_corpus_order(store, toy, encoding):
    corpus = make_corpus(store, DOCUMENTS)
    ref, summary = run(store, corpus, encoding)
    vectors = Vectors(ref.path)
    assert vectors.ids == sorted(DOCUMENTS)
    assert np.allclose(vectors.load(), Counting().encode(list(DOCUMENTS.values())))
    assert (summary["reused"], summary["encoded"], summary["dropped"]) == (0, 10, 0)
    assert toy.calls == 3  # shards of 4, 4 and 2
    info = vectors.info
    assert (info.count, info.dimension, info.dtype, info.normalized) == (10, 27, "float32", True)
    assert info.model_digest == "digest-of-toy"
    assert info.corpus_digest == corpus.digest


def test_a_content_is_encoded_once(store, toy, encoding):
    ref, _ = run(store, make_corpus(store, {"a": "same", "b": "other", "c": "same"}), encoding)
    assert sorted(toy.texts) == ["other", "same"]
    loaded = Vectors(ref.path).load()
    assert np.array_equal(loaded[0], loaded[2])


def test_only_what_changed_is_encoded(store, toy, encoding):
    run(store, make_corpus(store, DOCUMENTS), encoding)
    toy.texts.clear()
    changed = {**DOCUMENTS, "d03": "changed words", "a-new-first": "new words"}
    del changed["d07"], changed["d00"]
    ref, summary = run(store, make_corpus(store, changed), encoding)
    assert sorted(toy.texts) == ["changed words", "new words"]
    assert (summary["reused"], summary["encoded"], summary["dropped"]) == (7, 2, 3)
    vectors = Vectors(ref.path)
    assert vectors.ids == sorted(changed)
    assert np.allclose(vectors.load(), Counting().encode([changed[d] for d in sorted(changed)]))


def test_a_moved_document_is_not_encoded_again(store, toy, encoding):
    run(store, make_corpus(store, DOCUMENTS), encoding)
    toy.texts.clear()
    moved = {f"x{doc_id}": text for doc_id, text in reversed(DOCUMENTS.items())}
    _, summary = run(store, make_corpus(store, moved), encoding)
    assert toy.texts == []
    assert summary["encoded"] == 0


@pytest.mark.parametrize("change", [{"model_digest": "another"}, {"dtype": "float16"}, {"precision": "bf16"}])
def test_another_encoding_reuses_nothing(store, toy, encoding, change):
    corpus = make_corpus(store, DOCUMENTS)
    run(store, corpus, encoding)
    ref, summary = run(store, corpus, replace(encoding, **change))
    assert summary["reused"] == 0
    assert Vectors(ref.path).info.encoding != encoding.identity


def test_finished_shards_are_found_by_the_next_run(store, toy, encoding):
    corpus = make_corpus(store, DOCUMENTS)
    specs = plan_shards(store, corpus.path, encoding, 4)
    assert [spec.rows for spec in specs] == [((0, 4),), ((4, 8),), ((8, 10),)]
    for spec in specs[:2]:  # as another worker would, from plain JSON
        encode_shard(store, pickle.loads(pickle.dumps(spec)))
    assert [spec.rows for spec in plan_shards(store, corpus.path, encoding, 4)] == [((8, 10),)]
    toy.texts.clear()
    _, summary = run(store, corpus, encoding)
    assert len(toy.texts) == 2
    assert summary["encoded"] == 10
    assert summary["encoded_here"] == 2
    assert summary["tokens"] == 20  # of every worker's shards: two words a document


def test_shards_go_once_assembled(store, toy, encoding):
    corpus = make_corpus(store, DOCUMENTS)
    run(store, corpus, encoding)
    left = plan_shards(store, corpus.path, replace(encoding, model_digest="other"), 100)
    encode_shard(store, left[0])
    known = cached_vectors(store, encoding.identity, shards=False)
    assert drop_assembled_shards(store, encoding, known) == 3
    assert len(list(store.artifacts("shard"))) == 1  # the other model's stays
    assert plan_shards(store, corpus.path, encoding, 4) == []


def test_a_failure_in_the_middle_loses_no_finished_shard(store, toy, encoding, monkeypatch):
    corpus = make_corpus(store, DOCUMENTS)
    whole = Counting.encode_documents

    def failing(self, texts, *, progress=None):
        if self.calls == 2:
            raise ModelError("no memory left")
        return whole(self, texts, progress=progress)

    monkeypatch.setattr(Counting, "encode_documents", failing)
    with pytest.raises(ModelError):
        run(store, corpus, encoding)
    monkeypatch.setattr(Counting, "encode_documents", whole)
    toy.texts.clear()
    run(store, corpus, encoding)
    assert len(toy.texts) == 2


def test_a_truncated_shard_is_encoded_again(store, toy, encoding):
    corpus = make_corpus(store, DOCUMENTS)
    first = encode_shard(store, plan_shards(store, corpus.path, encoding, 4)[0]).ref
    with first.file("vectors.npy").open("r+b") as stream:
        stream.truncate(200)
    ref, _ = run(store, corpus, encoding)
    assert np.allclose(Vectors(ref.path).load(), Counting().encode(list(DOCUMENTS.values())))


@pytest.mark.parametrize("kind", ["vectors", "shard"])
def test_a_vector_changed_at_the_same_size_is_encoded_again_not_reused(store, toy, encoding, kind, caplog):
    corpus = make_corpus(store, DOCUMENTS)
    if kind == "vectors":
        run(store, corpus, encoding)
        drop_assembled_shards(store, encoding, cached_vectors(store, encoding.identity, shards=False))
    else:
        for spec in plan_shards(store, corpus.path, encoding, 4):
            encode_shard(store, spec)
    path = max(store.artifacts_dir.glob(f"{kind}/*/**/*.npy"), key=lambda p: p.stat().st_size)
    array = np.load(path)
    array[1] = array[0][::-1]
    np.save(path, array)
    toy.texts.clear()
    changed = {**DOCUMENTS, "e": "one more"}
    ref, _ = run(store, make_corpus(store, changed), encoding)
    expected = Counting().encode([changed[doc_id] for doc_id in sorted(changed)])
    assert np.allclose(Vectors(ref.path).load(), expected)
    assert len(toy.texts) == 1 + len(array)
    assert "encoded anew" in caplog.text


def test_vectors_gone_while_they_are_put_together_are_told(store, toy, encoding):
    corpus = make_corpus(store, DOCUMENTS)
    encode_shard(store, plan_shards(store, corpus.path, encoding, 4)[0])
    cache = cached_vectors(store, encoding.identity)
    with pytest.raises(StoreError, match="not in the store any more"):
        cache.take(cache.find(read_hashes(corpus.file("corpus.parquet"))))


def test_the_files_depend_on_content_alone(store, toy, encoding, tmp_path):
    from embedlib.store import Store

    first, _ = run(store, make_corpus(store, DOCUMENTS), encoding, shard_size=3)
    other = Store(tmp_path / "other")
    partial = {k: v for k, v in DOCUMENTS.items() if k != "d04"}
    run(other, make_corpus(other, partial), encoding)
    second, _ = run(other, make_corpus(other, DOCUMENTS), encoding, shard_size=100)
    assert first.digest == second.digest


def test_progress_counts_over_all_shards(store, toy, encoding, tmp_path):
    seen = []
    out = tmp_path / "out"
    out.mkdir()
    corpus = make_corpus(store, DOCUMENTS)
    encode_corpus(store, corpus, encoding, out, shard_size=4, progress=lambda *told: seen.append(told))
    assert [(done, total) for done, total, _ in seen] == [(4, 10), (8, 10), (10, 10)]


def test_an_overflow_of_float16_names_the_document(store, toy, encoding, monkeypatch):
    big = lambda self, texts, progress=None: np.full((len(texts), 27), 1e6 if "h" in texts[0] else 1.0)  # noqa: E731
    monkeypatch.setattr(Counting, "encode_documents", big)
    with pytest.raises(ModelError, match="'d07'"), np.errstate(over="ignore"):
        run(store, make_corpus(store, DOCUMENTS), replace(encoding, dtype="float16"), shard_size=1)


def test_unusable_rows():
    rows = np.array([[1.0, 0], [0, 0], [np.nan, 1], [np.inf, 1], [-2, 1]], dtype=np.float32)
    assert unusable(rows).tolist() == [1, 2, 3]


def test_a_corpus_without_hashes_is_refused(store, toy, encoding, tmp_path):
    row = dict.fromkeys(("doc_id", "title", "text", "source", "group_id", "content_hash", "metadata"), "x")
    write_table(tmp_path / "corpus.parquet", [row], CORPUS)
    with pytest.raises(DataError, match="content_hash"):
        plan_shards(store, tmp_path, encoding, 4)


KILLED = """
import os, sys, pathlib, json
sys.path.insert(0, sys.argv[1])
from test_encode import *
from embedlib.store import Store, ArtifactRef

class Slow(Counting):
    def encode_documents(self, texts, *, progress=None):
        if self.calls == 2:
            print("two shards done", flush=True)
            time.sleep(60)
        return super().encode_documents(texts, progress=progress)

slow = Slow()
encode._encoder = lambda encoding: slow
store = Store(sys.argv[2])
encoding = Encoding(pathlib.Path(sys.argv[3]), "digest-of-toy", "fp32", "float32")
run(store, make_corpus(store, DOCUMENTS), encoding)
"""


def test_shards_survive_kill_9(store, toy, encoding):
    here = Path(__file__).parent
    paths = os.pathsep.join([str(here), str(here.parents[1])])
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(here), str(store.root), str(encoding.model)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )
    try:
        assert process.stdout.readline().strip() == "two shards done"
        process.send_signal(signal.SIGKILL)
        assert process.wait(10) == -signal.SIGKILL
    finally:
        process.kill()
        process.stdout.close()
    started = time.monotonic()
    ref, summary = run(store, make_corpus(store, DOCUMENTS), encoding)
    assert time.monotonic() - started < 30  # the dead process's lock does not hold us up
    assert len(toy.texts) == 2
    assert summary["encoded_here"] == 2
    assert np.allclose(Vectors(ref.path).load(), Counting().encode(list(DOCUMENTS.values())))

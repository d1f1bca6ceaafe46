"""The rows of a release: bounded batches, deterministic keys, and what differs."""

from __future__ import annotations

import numpy as np
import pytest
from index_workspace import words

from embedlib.stores import rows as module
from embedlib.stores.rows import ReleaseRows, row_key
from embedlib.vectors import Vectors


@pytest.fixture
def rows(workspace):
    texts = words(50) | {f"long{i}": f"word{'s' * 900} {i}" for i in range(5)}
    return ReleaseRows(workspace.root, workspace.publish(workspace.parts(texts)))


@pytest.mark.parametrize(("size", "limit"), [(7, 10**9), (1000, 3_000), (1, 1)])
def test_batches_are_bounded_in_rows_and_bytes_and_lose_nothing(rows, monkeypatch, size, limit):
    monkeypatch.setattr(module, "BATCH_BYTES", limit)
    batches = list(rows.batches(np.arange(len(rows)), size))
    assert max(len(batch) for batch in batches) <= size
    assert all(len(b) == 1 or b.slice(0, len(b) - 1).nbytes <= 2 * limit for b in batches)
    assert [i for b in batches for i in b["doc_id"].to_pylist()] == rows.corpus.ids
    vectors = np.concatenate([np.stack(b["vector"].to_pylist()) for b in batches])
    np.testing.assert_array_equal(vectors, Vectors(rows.vectors.folder).load())


def test_only_the_rows_that_are_asked_for_are_read(rows):
    (batch,) = rows.batches(np.array([3, 40]), 500)
    assert batch["doc_id"].to_pylist() == [rows.corpus.ids[3], rows.corpus.ids[40]]
    assert batch["key"].to_pylist() == [row_key(doc_id) for doc_id in batch["doc_id"].to_pylist()]


def test_the_difference_is_by_key_and_hash_whatever_the_order(rows):
    held = [(b["key"].to_pylist(), b["row_hash"].to_pylist()) for b in rows.batches(np.arange(len(rows)), 9)]
    assert not rows.difference(reversed(held))
    keys, hashes = held[2]
    zeros = "ab" * 15 + "00"  # NumPy would drop the end
    changed = [*held[:1], ([*keys[1:], zeros], ["0" * 32, *hashes[2:], "1" * 32]), *held[3:]]
    found = rows.difference(changed)
    assert found.rows.tolist() == [*range(9, 18), 18, 19]
    assert found.keys == [zeros]
    assert rows.difference([]).rows.tolist() == list(range(len(rows)))

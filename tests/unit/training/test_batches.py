"""Which examples share a batch, and what each document is to each query."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from embedlib.contracts import Corpus
from embedlib.training.collate import ColumnTokenizer, InBatchCollator, PairCollator, TupleCollator
from embedlib.training.data import TrainingSet, load_training_set
from embedlib.training.sampler import ExampleBatches

EXAMPLES = st.lists(st.tuples(st.integers(0, 8), st.integers(10, 18)), min_size=1, max_size=60)


@settings(max_examples=60, deadline=None)
@given(keys=EXAMPLES, size=st.integers(2, 12), seed=st.integers(0, 5))
def test_no_key_stands_twice_in_a_batch_and_no_example_in_an_epoch(keys, size, seed):
    sampler = ExampleBatches(keys, batch_size=size, seed=seed)
    batches = list(sampler)
    assert len(batches) == len(sampler) >= 1
    for batch in batches:
        flat = [key for i in batch for key in keys[i]]
        assert len(flat) == len(set(flat))
        assert len(batch) <= size
    assert len({i for b in batches for i in b}) == sum(map(len, batches))


def test_without_repeats_every_example_comes_once_in_full_batches():
    sampler = ExampleBatches([(i,) for i in range(50)], batch_size=16, seed=0)
    batches = list(sampler)
    assert [len(b) for b in batches] == [16, 16, 16]  # 2 left over are less than a quarter
    assert len(list(ExampleBatches([(i,) for i in range(52)], batch_size=16, seed=0))) == 4


def test_epochs_differ_and_come_again():
    sampler = ExampleBatches([(i,) for i in range(64)], batch_size=16, seed=0)
    first = list(sampler)
    sampler.set_epoch(1)
    assert list(sampler) != first
    sampler.set_epoch(0)
    assert list(sampler) == first


def test_a_query_gives_few_examples_an_epoch_and_others_in_the_next():
    keys = [(i // 10, 100 + i) for i in range(100)]  # 10 queries with 10 positives each
    sampler = ExampleBatches(keys, batch_size=5, seed=0, per_query=3)
    first = {i for batch in sampler for i in batch}
    assert sampler.examples == len(first) == 30
    assert all(len([i for i in first if i // 10 == q]) == 3 for q in range(10))
    sampler.set_epoch(1)
    assert {i for batch in sampler for i in batch} != first


def test_every_process_gets_each_global_batch():
    keys = [(i,) for i in range(64)]
    alone = list(ExampleBatches(keys, batch_size=16, seed=0))
    shared = list(ExampleBatches(keys, batch_size=16, seed=0, world=2))
    assert shared[0::2] == shared[1::2] == alone


def small_set() -> TrainingSet:
    """Queries a, b, c; b's negative is known to be relevant to a, and so is c's positive's text."""
    return TrainingSet(
        queries=["a", "bb", "ccc"],
        documents=["one", "two two", "three three three", "shared", "shared"],
        rows=np.array([0, 1, 2, 3, 4]),
        positives=np.array([0, 1, 4]),
        negatives=np.array([[3], [2], [-1]]),
        relevant=[frozenset({0, 2}), frozenset({1}), frozenset({4})],
        names=["a", "b", "c"],
        numbers=np.array([7, 8, 9]),
    )


def preprocess(texts, prompt=None):
    ids = torch.tensor([[len((prompt or "") + t)] for t in texts])
    return {"input_ids": ids, "texts": [(prompt or "") + t for t in texts]}


def records(*indices: int) -> list[dict[str, int]]:
    return [{"index": i} for i in indices]


def test_each_document_stands_once_and_its_relation_to_every_query_is_known():
    collate = InBatchCollator(small_set(), ColumnTokenizer(preprocess, "q: ", "d: "))
    batch = collate(records(2, 0, 1))
    assert batch["anchor_texts"] == ["q: a", "q: bb", "q: ccc"]  # by length
    assert batch["document_texts"] == [
        "d: one",
        "d: shared",
        "d: shared",
        "d: two two",
        "d: three three three",
    ]
    assert batch["label"].tolist() == [[1, 0, 0, 0, 1], [0, 0, 0, 1, 0], [0, 1, 1, 0, 0]]


def test_processes_share_the_documents_evenly_and_fill_up_with_ignored_ones():
    whole = InBatchCollator(small_set(), ColumnTokenizer(preprocess))(records(0, 1, 2))
    parts = [
        InBatchCollator(small_set(), ColumnTokenizer(preprocess), rank=r, world=2)(records(0, 1, 2))
        for r in (0, 1)
    ]
    assert [len(p["document_texts"]) for p in parts] == [3, 3]
    label = torch.cat([p["label"] for p in parts])
    texts = parts[0]["document_texts"] + parts[1]["document_texts"]
    assert label.shape == (3, 6)
    assert (label == -1).sum() == 3
    kept = (label[0] != -1).nonzero().flatten().tolist()
    assert sorted(texts[j] for j in kept) == sorted(whole["document_texts"])


class TeacherDouble:
    """Scores 100 x example + row, so that both numbers can be read off."""

    def targets(self, query_rows, doc_rows):
        return (100 * query_rows[:, None] + doc_rows[None, :]).astype(np.float32)


def test_a_teacher_is_asked_for_rows_of_the_examples_file_and_of_the_corpus():
    collate = InBatchCollator(small_set(), ColumnTokenizer(preprocess), teacher=TeacherDouble())
    assert collate(records(1))["label"].tolist() == [[801.0, 802.0]]


def test_tuples_and_pairs_have_their_columns_and_labels():
    data = small_set().subset(np.array([0, 1]))
    batch = TupleCollator(data, ColumnTokenizer(preprocess), negatives=1)(records(1, 0))
    assert (batch["positive_texts"], batch["negative1_texts"]) == (
        ["two two", "one"],
        ["three three three", "shared"],
    )
    assert PairCollator.positions(small_set()) == [0, 1, 2, 3, 4]
    pairs = PairCollator(small_set(), ColumnTokenizer(preprocess), whole=False)(records(0, 1, 4))
    assert pairs["document_texts"] == ["one", "shared", "shared"]
    assert pairs["label"].tolist() == [1.0, 0.0, 1.0]


def test_loading_knows_judged_positives_beyond_the_example_itself(collection):
    data = load_training_set(
        Corpus(collection["corpus"]), collection["examples"], collection["queries"], negatives=1
    )
    assert len(data) == 96
    assert data.negatives.shape == (96, 1)
    assert data.relevant[5] == frozenset({5})
    assert data.teacher[0].tolist() == [2.0, 1.0]
    assert data.names[5] == "q0005 -> d0005"


@pytest.mark.parametrize("k", [0, 5])
def test_the_number_of_negatives_is_a_limit(collection, k):
    data = load_training_set(
        Corpus(collection["corpus"]), collection["examples"], collection["queries"], negatives=k
    )
    assert data.negatives.shape == (96, min(k, 2))

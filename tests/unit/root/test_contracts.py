"""Tables round-trip, and readers keep row order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from embedlib import contracts
from embedlib.contracts import Corpus, Document
from embedlib.errors import CorruptArtifact, DataError, MismatchError
from embedlib.vectors import Vectors, VectorsInfo


def rows(n: int) -> list[dict[str, str]]:
    return [
        Document(
            f"d{i:04d}", f"T{i}", f"body {i}", "s", f"g{i // 2}", contracts.content_hash(f"T{i}", f"body {i}")
        )._asdict()
        for i in range(n)
    ]


@pytest.mark.parametrize("n", [0, 1, 7, 20])
def test_corpus_round_trip(tmp_path: Path, n: int) -> None:
    assert contracts.write_table(tmp_path / "corpus.parquet", rows(n), contracts.CORPUS, batch=5) == n
    corpus = Corpus(tmp_path)
    assert len(corpus) == n
    assert [d._asdict() for d in corpus.documents(batch=3)] == rows(n)
    assert list(corpus.texts()) == [f"T{i} body {i}" for i in range(n)]


def test_take_keeps_the_order_asked_for(tmp_path: Path) -> None:
    contracts.write_table(tmp_path / "corpus.parquet", rows(20), contracts.CORPUS, batch=6)
    corpus = Corpus(tmp_path)
    assert [d.doc_id for d in corpus.take([17, 3, 3, 0])] == ["d0017", "d0003", "d0003", "d0000"]


def test_vectors_in_blocks_equal_all_at_once(tmp_path: Path) -> None:
    all_rows = np.random.default_rng(0).normal(size=(11, 4)).astype(np.float32)
    (tmp_path / "shards").mkdir()
    names = []
    for i, part in enumerate(np.split(all_rows, [4, 9])):
        names.append(f"shards/{i}.npy")
        np.save(tmp_path / names[-1], part)
    VectorsInfo(
        dimension=4, dtype="float32", count=11, normalized=False, model_digest="m", encoding={},
        corpus_digest="c", shards=names, rows=[4, 5, 2],
    ).write(tmp_path)  # fmt: skip
    vectors = Vectors(tmp_path)
    assert np.array_equal(vectors.load(), all_rows)
    assert np.array_equal(np.vstack([b for _, b in vectors.blocks(rows=3)]), all_rows)
    assert [s for s, _ in vectors.blocks(rows=3)] == [0, 3, 4, 7, 9]
    assert np.array_equal(vectors.take([10, 0, 5]), all_rows[[10, 0, 5]])
    with pytest.raises(MismatchError, match="another model"):
        vectors.require_model("other")


def test_ids_out_of_order_or_twice_are_named() -> None:
    contracts.require_sorted_unique(["a", "b"], "here")
    with pytest.raises(DataError, match="duplicate id 'b'"):
        contracts.require_sorted_unique(["a", "b", "b"], "here")
    with pytest.raises(DataError, match="out of order"):
        contracts.require_sorted_unique(["b", "a"], "here")


@pytest.mark.parametrize("content", [None, b"no Parquet"])
def test_a_corpus_that_is_gone_or_damaged_is_a_typed_error(tmp_path, content):
    if content:
        (tmp_path / "corpus.parquet").write_bytes(content)
    with pytest.raises(CorruptArtifact, match=r"corpus\.parquet is missing or damaged"):
        _ = Corpus(tmp_path).ids


@pytest.mark.parametrize("content", [None, b"PAR1 and no end", b""], ids=["missing", "garbled", "empty"])
def test_rows_of_a_damaged_file_are_a_typed_error_that_names_it(tmp_path, content):
    path = tmp_path / "queries.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CorruptArtifact, match=r"queries\.parquet is missing or damaged"):
        list(contracts.read_rows(path))

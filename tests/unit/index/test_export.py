"""What is exported is the release, row for row, readable by anybody."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from index_workspace import Workspace, words

from embedlib.contracts import Corpus
from embedlib.errors import CorruptArtifact, DiskFull, ReleaseError, UserError
from embedlib.index import export
from embedlib.index.export import export_release
from embedlib.vectors import Vectors


@pytest.fixture
def parts(workspace: Workspace):
    parts = workspace.parts(words(50))
    workspace.publish(parts)
    return parts


def test_parquet_holds_ids_vectors_and_texts_in_corpus_order(workspace, parts, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "BLOCK", 7)
    info = export_release(workspace.root, tmp_path / "out")
    table = pq.read_table(tmp_path / "out" / "vectors-00000.parquet")
    corpus = Corpus(parts["corpus"].path)
    assert table["doc_id"].to_pylist() == corpus.ids
    assert table["text"].to_pylist() == corpus.column("text")
    assert table.schema.field("vector").type.value_type == pa.float32()
    vectors = np.stack(table["vector"].to_pylist())
    np.testing.assert_allclose(vectors, Vectors(parts["vectors"].path).load(), atol=1e-3)
    assert info == json.loads((tmp_path / "out" / "export.json").read_text())
    assert (info["count"], info["dimension"], info["release"]) == (50, 27, 1)


@pytest.mark.parametrize("limit", [60_000, 150_000])
def test_no_parquet_file_is_larger_than_the_limit(workspace, tmp_path, monkeypatch, limit):
    rng = np.random.default_rng(0)
    texts = {f"d{i:03d}": bytes(rng.integers(97, 123, int(size), np.uint8)).decode() for i, size in
             enumerate(rng.integers(1, 9_000, 60))}  # fmt: skip
    workspace.publish(workspace.parts(texts))
    monkeypatch.setattr(export, "FILE_BYTES", limit)
    monkeypatch.setattr(export, "FOOTER", 3_000 / limit)
    info = export_release(workspace.root, tmp_path / "out")
    files = sorted((tmp_path / "out").glob("*.parquet"))
    assert (
        [path.name for path in files]
        == info["files"]
        == [f"vectors-{i:05d}.parquet" for i in range(len(files))]
    )
    sizes = [path.stat().st_size for path in files]
    assert max(sizes) <= limit
    assert len(files) <= 2 + 2 * sum(sizes) // limit
    table = pa.concat_tables(pq.read_table(path) for path in files)
    assert dict(zip(table["doc_id"].to_pylist(), table["text"].to_pylist(), strict=True)) == texts


def test_numpy_needs_no_pickle(workspace, parts, tmp_path):
    export_release(workspace.root, tmp_path / "out", fmt="numpy")
    ids = np.load(tmp_path / "out" / "ids.npy", allow_pickle=False)
    vectors = np.load(tmp_path / "out" / "vectors.npy", allow_pickle=False)
    assert ids.tolist() == Corpus(parts["corpus"].path).ids
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, Vectors(parts["vectors"].path).load())


def test_a_folder_with_files_in_it_is_refused(workspace, parts, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("precious")
    with pytest.raises(UserError, match="not empty"):
        export_release(workspace.root, tmp_path / "out")
    assert (tmp_path / "out" / "mine.txt").read_text() == "precious"


def test_an_unknown_format_is_refused(workspace, parts, tmp_path):
    with pytest.raises(UserError, match="unknown"):
        export_release(workspace.root, tmp_path / "out", fmt="excel")


def test_nothing_is_exported_where_nothing_is_published(workspace, tmp_path):
    with pytest.raises(ReleaseError, match="nothing is published"):
        export_release(workspace.root, tmp_path / "out")


def test_ids_that_do_not_match_are_found(workspace, parts, tmp_path):
    other = workspace.corpus({f"x{i}": t for i, t in enumerate(words(50).values())})
    parts["vectors"].file("ids.parquet").write_bytes(other.file("corpus.parquet").read_bytes())
    with pytest.raises(CorruptArtifact, match=r"ids\.parquet"):
        export_release(workspace.root, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [workspace.root]


def test_a_full_disk_leaves_nothing(workspace, parts, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "_write_parquet", full)
    with pytest.raises(DiskFull, match="the disk is full"):
        export_release(workspace.root, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [workspace.root]

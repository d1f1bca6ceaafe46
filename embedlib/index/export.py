"""A release's vectors and ids for other vector stores: Parquet, or NumPy files.

Rows are in corpus order, float32, as Milvus, Qdrant, pgvector, LanceDB
and Elasticsearch ingest them (a fixed-size list column, or ``vectors.npy`` beside ``ids.npy``).
"""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from embedlib.contracts import Corpus
from embedlib.disk import disk_errors
from embedlib.errors import ReleaseError, UserError, VerificationError
from embedlib.index.catalog import Release, current, read_release
from embedlib.index.release_lock import ReleaseLock
from embedlib.index.release_parts import require_whole
from embedlib.json_file import write_json
from embedlib.vectors import Vectors

FORMATS = ("parquet", "numpy")
BLOCK = 8192
#: Most bytes of a Parquet file; a single row may be more.
FILE_BYTES = 512_000_000
#: Of which the footer gets this share.
FOOTER = 0.01


def export_release(root: Path, out: Path, *, fmt: str = "parquet") -> dict[str, Any]:
    """Write vectors, ids and, for Parquet, the documents of the live release.

    Parquet: ``vectors-00000.parquet`` and so on, of at most ``FILE_BYTES`` each, with doc_id, vector
    (fixed-size list), title, text, source, group_id, metadata. NumPy: ``vectors.npy`` [n, d] and
    ``ids.npy`` [n] (fixed-width unicode, no pickle).
    Both: ``export.json``, which is also returned, with count, dimension, dtype, metric, release and model.

    Args:
        root: The workspace.
        out: Folder to write; it must not be there, or be empty.
        fmt: ``parquet`` or ``numpy``.

    Raises:
        UserError: Unknown format, or no place for a new folder.
        ReleaseError: Nothing is published, or its vectors are gone.
        CorruptArtifact: Its corpus or vectors are damaged; nothing is written.
        VerificationError: What was written does not count up to the release.
        DiskFull: No space left; nothing stays behind.
    """
    out = export_folder(out)
    if fmt not in FORMATS:
        raise UserError(
            "unknown export format", where="--format", expected=", ".join(FORMATS), found=repr(fmt)
        )
    release = release_to_export(Path(root))
    hold = ReleaseLock(Path(root), release.number)
    temporary = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        require_whole(Path(root), release, ("corpus", "vectors"))
        with disk_errors(out):
            out.parent.mkdir(parents=True, exist_ok=True)
            temporary.mkdir()
            info = _write(Path(root), release, temporary, fmt)
            temporary.replace(out)
    finally:
        hold.close()
        shutil.rmtree(temporary, ignore_errors=True)
    return info


def _write(root: Path, release: Release, out: Path, fmt: str) -> dict[str, Any]:
    corpus = Corpus(release.ref(root, "corpus").path)
    vectors = Vectors(release.ref(root, "vectors").path)
    if vectors.ids != corpus.ids:
        raise VerificationError(
            "the release's vectors and corpus have different ids",
            where=str(vectors.folder),
            expected=f"{len(corpus)} ids",
            found=f"{len(vectors.ids)} ids",
        )
    write = _write_parquet if fmt == "parquet" else _write_numpy
    written = write(corpus, vectors, out)
    if written != len(corpus):
        raise VerificationError(
            "the export is not complete", where=str(out), expected=str(len(corpus)), found=str(written)
        )
    info = {
        "release": release.number,
        "model": release.parts["model"].digest,
        "count": written,
        "dimension": vectors.dimension,
        "dtype": "float32",
        "metric": "inner product",
        "normalized": vectors.info.normalized,
        "format": fmt,
        "files": sorted(path.name for path in out.iterdir()),
    }
    write_json(out / "export.json", info)
    return info


def _write_parquet(corpus: Corpus, vectors: Vectors, out: Path) -> int:
    texts = ("title", "text", "source", "group_id", "metadata")
    schema = pa.schema(
        [("doc_id", pa.string()), ("vector", pa.list_(pa.float32(), vectors.dimension))]
        + [(name, pa.string()) for name in texts]
    )
    start = 0
    with pq.ParquetFile(corpus.path) as source, _Files(out, schema) as files:
        for documents in source.iter_batches(batch_size=BLOCK):
            block = vectors.take(np.arange(start, start + len(documents)))
            flat = pa.array(block.astype(np.float32).ravel())
            columns = [documents.column("doc_id"), pa.FixedSizeListArray.from_arrays(flat, vectors.dimension)]
            columns += [documents.column(name) for name in texts]
            files.write(pa.RecordBatch.from_arrays(columns, schema=schema))
            start += len(documents)
    return sum(pq.read_metadata(path).num_rows for path in out.glob("*.parquet"))


class _Files:
    """Parquet files of at most ``FILE_BYTES``, one open at a time, a row group each ``write``."""

    def __init__(self, out: Path, schema: pa.Schema) -> None:
        self.out, self.schema = out, schema
        self._open = ExitStack()
        self._count = 0
        self._next()

    def __enter__(self) -> _Files:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows, to another file where they might not fit; halved until they fit into one."""
        room = FILE_BYTES * (1 - FOOTER)
        if batch.nbytes > room and len(batch) > 1:
            half = len(batch) // 2
            self.write(batch.slice(0, half))
            self.write(batch.slice(half))
            return
        if self._sink.tell() + batch.nbytes > room and self._rows:
            self._next()
        self._writer.write_batch(batch)
        self._rows += len(batch)

    def _next(self) -> None:
        self._open.close()
        self._sink = self._open.enter_context(
            pa.OSFile(str(self.out / f"vectors-{self._count:05d}.parquet"), "wb")
        )
        self._writer = self._open.enter_context(pq.ParquetWriter(self._sink, self.schema, compression="zstd"))
        self._count, self._rows = self._count + 1, 0


def _write_numpy(corpus: Corpus, vectors: Vectors, out: Path) -> int:
    shape = (len(vectors), vectors.dimension)
    target = np.lib.format.open_memmap(out / "vectors.npy", mode="w+", dtype=np.float32, shape=shape)
    for start, block in vectors.blocks(BLOCK):
        target[start : start + len(block)] = block
    target.flush()
    np.save(out / "ids.npy", np.asarray(corpus.ids, dtype=np.str_), allow_pickle=False)
    written = np.load(out / "vectors.npy", mmap_mode="r", allow_pickle=False)
    ids = np.load(out / "ids.npy", mmap_mode="r", allow_pickle=False)
    return min(len(written), len(ids))


def release_to_export(root: Path, number: int | None = None) -> Release:
    """A release by number, or the live one.

    Raises:
        ReleaseError: There is none.
    """
    if number is not None:
        return read_release(root, number)
    release = current(root)
    if release is None:
        raise ReleaseError(
            "nothing is published in this workspace",
            where=str(root / "releases"),
            remedy="`embedlib run` publishes a first release",
        )
    return release


def export_folder(out: Path) -> Path:
    """The absolute path of a folder that may be written: new, or empty and not the one that this runs in."""
    path = Path(os.path.abspath(out.expanduser()))  # noqa: PTH100 - a link stays a link
    if path == Path.cwd() or not path.name:
        found = "the folder that this command runs in" if path.name else "the root folder"
    elif path.is_symlink() and not path.exists():
        found = "a link to nothing"
    elif path.exists() and not path.is_dir():
        found = "a file"
    elif path.is_dir() and any(path.iterdir()):
        found = "a folder that is not empty"
    elif not next(parent for parent in path.parents if parent.exists()).is_dir():
        found = "a place below a file"
    else:
        return path.resolve()
    raise UserError(
        f"nothing can be exported to {str(out)!r}",
        where=str(path),
        expected="a new or empty folder",
        found=found,
        remedy="name another folder",
    )

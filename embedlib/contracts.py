"""What every artifact's tables hold, and the one way to write and read them.

A *row* is a document's position in the corpus. Corpus ids are unique and sorted, so ordering
hits by (-score, row) is ordering them by (-score, doc_id), and vectors need no other key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from embedlib.errors import CorruptArtifact, DataError, first_line

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

_TEXT, _INT = pa.string(), pa.int64()

CORPUS = pa.schema(
    [(n, _TEXT) for n in ("doc_id", "title", "text", "source", "group_id", "content_hash", "metadata")]
)
#: Ids of the corpus that are chunks, and the document that each was cut from; no file, no chunks.
CHUNKS = pa.schema([("doc_id", _TEXT), ("document_id", _TEXT)])
CHUNKS_FILE = "chunks.parquet"
QUERIES = pa.schema([(n, _TEXT) for n in ("query_id", "text", "split", "origin", "label")])
QRELS = pa.schema([("query_id", _TEXT), ("doc_id", _TEXT), ("relevance", _INT), ("split", _TEXT)])
PAIRS = pa.schema(
    [("query_id", _TEXT), ("query", _TEXT), ("doc_id", _TEXT), ("origin", _TEXT), ("score", pa.float32())]
)
EXAMPLES = pa.schema(
    [
        ("query_id", _TEXT),
        ("query", _TEXT),
        ("positive_id", _TEXT),
        ("origin", _TEXT),
        ("negative_ids", pa.list_(_TEXT)),
        ("origins", pa.list_(_TEXT)),
        ("scores", pa.list_(pa.float32())),
        ("teacher_positive", pa.float32()),
        ("teacher_scores", pa.list_(pa.float32())),
    ]
)
SCORES = pa.schema(
    [(n, _TEXT) for n in ("query_id", "measure", "system", "dataset", "split")] + [("value", pa.float64())]
)


class Document(NamedTuple):
    """One corpus row; ``metadata`` is a JSON object as text."""

    doc_id: str
    title: str
    text: str
    source: str
    group_id: str
    content_hash: str
    metadata: str = "{}"


class CandidatePair(NamedTuple):
    """A training pair: a query and a document that answers it.

    Args:
        query_id: Unique among the pairs of one query text: several positives share it.
        query: The query text.
        doc_id: The positive document.
        origin: Where the pair comes from.
        score: Relevance of a label; 1 for pairs that were made.
    """

    query_id: str
    query: str
    doc_id: str
    origin: str
    score: float = 1.0


def document_text(title: str, text: str) -> str:
    """The text that an encoder or BM25 sees of a document: title, a space, body (as in BEIR)."""
    return f"{title} {text}".strip()


def content_hash(title: str, text: str) -> str:
    """Identity of what is encoded of a document: 32 hexadecimal digits of SHA-256."""
    return hashlib.sha256(document_text(title, text).encode()).hexdigest()[:32]


#: Characters of text in a batch of rows after which it is written.
BATCH_CHARACTERS = 64_000_000


def write_table(path: Path, rows: Iterable[Mapping[str, Any]], schema: pa.Schema, batch: int = 8192) -> int:
    """Write rows to a Parquet file as they come; returns their number.

    No more than ``batch`` rows are in memory at a time, and fewer where their texts are long.
    """
    count = weight = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        pending: list[Mapping[str, Any]] = []
        for row in rows:
            pending.append(row)
            weight += sum(len(value) for value in row.values() if isinstance(value, str))
            if len(pending) == batch or weight > BATCH_CHARACTERS:
                writer.write_batch(pa.RecordBatch.from_pylist(pending, schema=schema))
                count += len(pending)
                pending, weight = [], 0
        writer.write_batch(pa.RecordBatch.from_pylist(pending, schema=schema))
    return count + len(pending)


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    """A Parquet file of an artifact.

    Raises:
        CorruptArtifact: It is missing or damaged.
    """
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (OSError, pa.ArrowException) as error:
        raise CorruptArtifact(
            f"{path.name} is missing or damaged",
            where=str(path),
            found=first_line(error),
            remedy="`embedlib verify` says what else is; a run makes it anew",
        ) from error


def read_rows(
    path: Path, columns: Sequence[str] | None = None, batch: int = 8192
) -> Iterator[dict[str, Any]]:
    """Read a Parquet file's rows as dictionaries, ``batch`` rows in memory at a time.

    Raises:
        CorruptArtifact: It is missing or damaged.
    """
    with _opened(path) as file:
        for block in file.iter_batches(batch_size=batch, columns=columns):
            yield from block.to_pylist()


def read_column(path: Path, name: str) -> list[str]:
    """One column of a Parquet file, of texts; ``pq.read_table`` would load pandas, 200 MB."""
    with _opened(path) as file:
        return file.read(columns=[name]).column(0).to_pylist()  # type: ignore[no-any-return]


class Corpus:
    """A corpus artifact, read in blocks; only its ids are kept in memory.

    Args:
        folder: The artifact's folder (holds ``corpus.parquet``).
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "corpus.parquet"

    def __len__(self) -> int:
        return int(pq.read_metadata(self.path).num_rows)

    @cached_property
    def ids(self) -> list[str]:
        """Every doc_id, sorted: ``ids[row]``."""
        return self.column("doc_id")

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Row of each doc_id."""
        return {doc_id: row for row, doc_id in enumerate(self.ids)}

    @cached_property
    def document_of(self) -> dict[str, str]:
        """Document that each chunk was cut from, by the chunk's doc_id; whole documents are not in it."""
        path = self.path.with_name(CHUNKS_FILE)
        return {row["doc_id"]: row["document_id"] for row in read_rows(path)} if path.is_file() else {}

    @cached_property
    def chunks(self) -> dict[str, list[int]]:
        """Rows of each document that was cut, by the document's id."""
        found: dict[str, list[int]] = {}
        for doc_id, document_id in self.document_of.items():
            found.setdefault(document_id, []).append(self.row_of[doc_id])
        return found

    def rows_of(self, doc_id: str) -> list[int]:
        """Rows that hold a document: its own, or those of its chunks; none when it is not in the corpus."""
        row = self.row_of.get(doc_id)
        return self.chunks.get(doc_id, []) if row is None else [row]

    def column(self, name: str) -> list[str]:
        """One column as a list of strings."""
        return read_column(self.path, name)

    def documents(self, batch: int = 8192) -> Iterator[Document]:
        """Every document in row order."""
        for row in read_rows(self.path, batch=batch):
            yield Document(**row)

    def texts(self, batch: int = 8192) -> Iterator[str]:
        """What an encoder sees of each document, in row order."""
        for row in read_rows(self.path, columns=["title", "text"], batch=batch):
            yield document_text(row["title"], row["text"])

    def texts_at(self, rows: Sequence[int] | Rows) -> list[str]:
        """What an encoder sees of the documents at ``rows``, in the order given."""
        return [document_text(d.title, d.text) for d in self.take(rows)]

    def take(self, rows: Sequence[int] | Rows) -> list[Document]:
        """The documents at ``rows``, in the order given, reading only the row groups they lie in."""
        wanted = np.asarray(rows, dtype=np.int64)
        found: dict[int, Document] = {}
        with pq.ParquetFile(self.path) as file:
            start = 0
            for group in range(file.metadata.num_row_groups):
                size = file.metadata.row_group(group).num_rows
                local = np.unique(wanted[(wanted >= start) & (wanted < start + size)] - start)
                if len(local):
                    table = file.read_row_group(group).take(pa.array(local))
                    for row, values in zip(local + start, table.to_pylist(), strict=True):
                        found[int(row)] = Document(**values)
                start += size
        return [found[int(row)] for row in wanted]


class Judgements(NamedTuple):
    """Queries of one split with their relevant and judged documents."""

    queries: dict[str, str]
    qrels: dict[str, dict[str, int]]
    origins: dict[str, str]
    labels: dict[str, str | None]


def read_judgements(folder: Path, split: str) -> Judgements:
    """Queries and qrels of ``split`` from a queries artifact (``queries.parquet``, ``qrels.parquet``)."""
    rows = [r for r in read_rows(folder / "queries.parquet") if r["split"] == split]
    qrels: dict[str, dict[str, int]] = {}
    for row in read_rows(folder / "qrels.parquet"):
        if row["split"] == split:
            qrels.setdefault(row["query_id"], {})[row["doc_id"]] = row["relevance"]
    return Judgements(
        {r["query_id"]: r["text"] for r in rows},
        qrels,
        {r["query_id"]: r["origin"] for r in rows},
        {r["query_id"]: r["label"] for r in rows},
    )


def require_sorted_unique(ids: Sequence[str], where: str) -> None:
    """Check the corpus contract on ids.

    Raises:
        DataError: Naming the first id that is out of order or stands twice.
    """
    for before, after in pairwise(ids):
        if before >= after:
            what = (
                f"duplicate id {after!r}" if before == after else f"ids out of order: {before!r}, {after!r}"
            )
            raise DataError(what, where=where, expected="ids unique and sorted")

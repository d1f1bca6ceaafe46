"""The documents beside an index, readable by row without reading the rest.

An Arrow IPC file (format of the Arrow specification, version 5, uncompressed) that is
memory-mapped: a search reads its ten documents and no more, and opening costs nothing.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from embedlib.contracts import CORPUS, Corpus, Document, Rows
from embedlib.errors import CorruptArtifact, first_line

DOCUMENTS_FILE = "documents.arrow"
BATCH = 4096


def write_documents(corpus: Corpus, path: Path) -> int:
    """Copy a corpus to an Arrow IPC file, ``BATCH`` documents in memory at a time; returns their number."""
    count = 0
    with (
        pq.ParquetFile(corpus.path) as source,
        pa.OSFile(str(path), "wb") as sink,
        pa.ipc.new_file(sink, CORPUS) as writer,
    ):
        for batch in source.iter_batches(batch_size=BATCH, columns=CORPUS.names):
            writer.write_batch(batch.cast(CORPUS))
            count += len(batch)
    return count


class Documents:
    """Random access to the documents of an index.

    Raises:
        CorruptArtifact: The file is missing or damaged.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / DOCUMENTS_FILE
        try:
            self._file = pa.ipc.open_file(pa.memory_map(str(path)))
            self._batches = [self._file.get_batch(i) for i in range(self._file.num_record_batches)]
        except (OSError, pa.ArrowInvalid) as error:
            raise CorruptArtifact(
                "the documents of an index cannot be read",
                where=str(path),
                found=first_line(error),
                remedy="delete the index artifact; the next run builds it anew",
            ) from error

    @cached_property
    def _starts(self) -> Rows:
        return np.cumsum([0, *(len(batch) for batch in self._batches)], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def get(self, row: int) -> Document:
        """The document at a row."""
        batch = int(np.searchsorted(self._starts, row, side="right")) - 1
        position = row - int(self._starts[batch])
        record = self._batches[batch]
        return Document(**{name: record.column(name)[position].as_py() for name in CORPUS.names})

    @cached_property
    def groups(self) -> Rows:
        """A number a document, int64 [n], equal for those of one ``group_id``; without one, its own."""
        ids = pa.chunked_array([batch.column("group_id") for batch in self._batches], type=pa.string())
        encoded = ids.combine_chunks().dictionary_encode()
        numbers = np.asarray(encoded.indices, dtype=np.int64)
        none = pc.index(encoded.dictionary, value="").as_py()
        return np.where(numbers == none, -1 - np.arange(len(numbers)), numbers)

    def column(self, name: str) -> list[str]:
        """One column of all documents."""
        return [value for batch in self._batches for value in batch.column(name).to_pylist()]

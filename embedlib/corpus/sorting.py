"""Sorting more rows than memory holds: sorted runs on disk, merged as they are read."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow as pa

Row = tuple[Any, ...]
#: Characters of text in a batch of a run, on average.
BATCH_CHARACTERS = 1_000_000


class ExternalSorter:
    """Rows in order of their first column, ties in the order they came.

    Rows are kept until they weigh ``run_mb``, then spilled as an Arrow stream.

    Args:
        folder: Where runs are spilled.
        schema: Columns of the rows.
        run_mb: Weight of a run, counted in characters.
    """

    def __init__(self, folder: Path, schema: pa.Schema, run_mb: float = 64.0) -> None:
        self.folder, self.schema = folder, schema
        self._limit = int(run_mb * 1e6)
        self._rows: list[Row] = []
        self._weight = 0
        self._runs: list[Path] = []

    def add(self, row: Row) -> None:
        """Take one row."""
        self._rows.append(row)
        self._weight += 200 + sum(len(value) for value in row if isinstance(value, str))
        if self._weight > self._limit:
            self._spill()

    def _spill(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"run-{len(self._runs):06d}.arrow"
        self._rows.sort(key=itemgetter(0))
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, self.schema) as writer:
            # runs are merged with one batch of each in memory: batches are small where rows are long
            size = max(1, min(1024, len(self._rows) * BATCH_CHARACTERS // max(self._weight, 1)))
            for start in range(0, len(self._rows), size):
                columns = zip(*self._rows[start : start + size], strict=True)
                arrays = [
                    pa.array(list(c), field.type) for c, field in zip(columns, self.schema, strict=True)
                ]
                writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=self.schema))
        self._runs.append(path)
        self._rows, self._weight = [], 0

    def __iter__(self) -> Iterator[Row]:
        """All rows in order; may be read more than once."""
        self._rows.sort(key=itemgetter(0))
        if not self._runs:
            return iter(self._rows)
        runs = [_read(path) for path in self._runs]
        return heapq.merge(*runs, iter(self._rows), key=itemgetter(0))

    def close(self) -> None:
        """Remove the runs."""
        for path in self._runs:
            path.unlink(missing_ok=True)
        self._runs, self._rows = [], []


def _read(path: Path) -> Iterator[Row]:
    with pa.OSFile(str(path), "rb") as source, pa.ipc.open_stream(source) as reader:
        for batch in reader:
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)

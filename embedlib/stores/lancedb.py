"""LanceDB: a table a collection; the table named as the target has a row for each and says which is live.

Atomic is a commit to one table: the cut-over is one update of that table's column ``live``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from embedlib.contracts import Floats
from embedlib.stores.base import (
    CollectionInfo,
    Found,
    beam,
    client_errors,
    number_of,
    read_collection_info,
    row_schema,
    taken,
)

if TYPE_CHECKING:
    from lancedb.table import Table

PAGE = 8192
POINTER = pa.schema([("collection", pa.string()), ("info", pa.string()), ("live", pa.bool_())])


class LanceStore:
    """A target in a LanceDB folder or bucket.

    Args:
        address: Folder, or an address that LanceDB knows (``s3://…``).
        target: Name of the target.

    Raises:
        UserError: The name is taken.
    """

    copies = True

    def __init__(self, address: str, target: str) -> None:
        os.environ.setdefault("LANCE_LOG", "error")  # it warns of each table that it makes
        import lancedb

        self.address, self.target = address, target
        self.errors: tuple[type[Exception], ...] = (RuntimeError, OSError)
        with client_errors(address, self.errors):
            self._db = lancedb.connect(address)

    def collections(self) -> dict[str, CollectionInfo]:
        """The rows of the pointer table whose tables are there."""
        there = set(self._names())
        return {
            row["collection"]: read_collection_info(row["collection"], row["info"])
            for row in self._pointers()
            if row["collection"] in there
        }

    def live(self) -> str | None:
        """The row that says so."""
        return next((row["collection"] for row in self._pointers() if row["live"]), None)

    def create(self, name: str, info: CollectionInfo, copy_of: str | None = None) -> None:
        """A table, streamed from another where it is a copy; then its row."""
        schema = row_schema(info.dimension)
        if name in self._names() and self._table(name).schema.names != schema.names:
            raise taken(name, self.address, "a table")
        if copy_of is None:
            self._db.create_table(name, schema=schema, mode="overwrite")
        else:
            source = self._table(copy_of).search().select(schema.names).to_batches(PAGE)
            self._db.create_table(name, data=source.cast(schema), mode="overwrite")
        self.describe(name, info)

    def describe(self, name: str, info: CollectionInfo) -> None:
        """Replace the row's ``info``, or add the row."""
        row = {"collection": name, "info": info.model_dump_json()}
        pointers = self._pointer_table(create=True)
        if pointers.count_rows(f"collection = '{name}'"):
            pointers.update(where=f"collection = '{name}'", values={"info": row["info"]})
        else:
            pointers.add(pa.Table.from_pylist([row | {"live": False}], schema=POINTER))

    def held(self, name: str) -> Iterator[tuple[list[str], list[str]]]:
        """Two columns of the table, in batches."""
        for batch in self._table(name).search().select(["key", "row_hash"]).to_batches(PAGE):
            yield batch.column("key").to_pylist(), batch.column("row_hash").to_pylist()

    def upsert(self, name: str, rows: pa.Table) -> None:
        """One commit."""
        merge = self._table(name).merge_insert("key")
        merge.when_matched_update_all().when_not_matched_insert_all().execute(rows)

    def delete(self, name: str, keys: list[str]) -> None:
        """One commit; keys are hexadecimal."""
        self._table(name).delete("key IN ({})".format(", ".join(f"'{key}'" for key in keys)))

    def finish(self, name: str, info: CollectionInfo) -> None:
        """Index what is not indexed yet, and put small files together."""
        from lancedb.index import IvfHnswFlat

        table = self._table(name)
        if info.index == "hnsw" and not table.list_indices():
            partitions = max(1, info.count // 1_000_000)
            config = IvfHnswFlat(distance_type="dot", num_partitions=partitions, ef_construction=300)
            table.create_index("vector", config=config)
        table.optimize()

    def search(self, name: str, queries: Floats, k: int, *, exact: bool) -> list[list[Found]]:
        """One scan or index search a query; LanceDB's dot distance is 1 - inner product."""
        table = self._table(name)
        return [self._one(table, query, k, exact) for query in queries]

    def _one(self, table: Table, query: Floats, k: int, exact: bool) -> list[Found]:
        asked: Any = table.search(np.asarray(query), vector_column_name="vector").distance_type("dot")
        asked = asked.bypass_vector_index() if exact else asked.ef(beam(k))
        answer = asked.select(["doc_id", "_distance"]).limit(k).to_arrow().to_pylist()
        return [Found(row["doc_id"], 1.0 - row["_distance"]) for row in answer]

    def cut_over(self, name: str) -> None:
        """One commit to the pointer table."""
        self._pointer_table().update(values_sql={"live": f"collection = '{name}'"})

    def drop(self, name: str) -> None:
        """The table, then its row: a table without a row would never be found again."""
        self._db.drop_table(name, ignore_missing=True)
        self._pointer_table().delete(f"collection = '{name}'")

    def close(self) -> None:
        """Nothing is held open."""

    def _table(self, name: str) -> Table:
        try:
            return self._db.open_table(name)
        except ValueError as error:  # its word for a table that is not there
            raise FileNotFoundError(str(error)) from error

    def _names(self) -> list[str]:
        names: list[str] = []
        token = None
        while True:
            page = self._db.list_tables(page_token=token, limit=1000)
            names += page.tables
            token = page.page_token
            if not token:
                return [n for n in names if n == self.target or number_of(self.target, n) is not None]

    def _pointers(self) -> list[dict[str, Any]]:
        if self.target not in self._names():
            return []
        rows: list[dict[str, Any]] = self._pointer_table().to_arrow().to_pylist()
        return rows

    def _pointer_table(self, create: bool = False) -> Table:
        if create and self.target not in self._names():
            return self._db.create_table(self.target, schema=POINTER)
        table = self._table(self.target)
        if table.schema.names != POINTER.names:
            raise taken(self.target, self.address, "a table")
        return table

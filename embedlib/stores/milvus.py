"""Milvus: a collection each; the target's name is an alias, moved by one request.

The address is a server's URL, or the file of a Milvus Lite (``….db``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from embedlib.contracts import Floats
from embedlib.errors import DataError
from embedlib.stores.base import (
    TEXTS,
    WAIT_S,
    CollectionInfo,
    Found,
    beam,
    client_errors,
    collection_infos,
    number_of,
    taken,
)

PAGE = 4096
#: Most bytes that Milvus holds of one text.
MOST_BYTES = 65_535


class MilvusStore:
    """A target in Milvus.

    Raises:
        UserError: The name is taken.
    """

    copies = False

    def __init__(
        self, address: str, target: str, key: str | None = None, wait_s: float | None = None
    ) -> None:
        from pymilvus import MilvusClient
        from pymilvus.exceptions import MilvusException

        self.address, self.target = address, target
        self.errors: tuple[type[Exception], ...] = (MilvusException, OSError)
        self._loaded: set[str] = set()
        self._wait_s = wait_s or WAIT_S
        with client_errors(address, self.errors):
            self._client = MilvusClient(address, token=key or "", timeout=self._wait_s)

    def collections(self) -> dict[str, CollectionInfo]:
        """What is in the properties of the target's collections."""
        return collection_infos(self.target, self._names(), self._kept)

    def _kept(self, name: str) -> str | None:
        found = self._client.describe_collection(name, timeout=self._wait_s)
        text: str | None = found.get("properties", {}).get("embedlib")
        return text

    def _names(self) -> list[str]:
        return list(self._client.list_collections(timeout=self._wait_s))

    def live(self) -> str | None:
        """The collection that has the target's name as an alias."""
        names = self._names()
        if self.target in names:
            raise taken(self.target, self.address, "a collection")
        mine = [name for name in names if number_of(self.target, name) is not None]
        aliases = {n: self._client.list_aliases(n, timeout=self._wait_s)["aliases"] for n in mine}
        return next((name for name in mine if self.target in aliases[name]), None)

    def create(self, name: str, info: CollectionInfo, copy_of: str | None = None) -> None:
        """A collection with its index, loaded; inner products."""
        from pymilvus import DataType

        if self._client.has_collection(name):
            if self._kept(name) is None:
                raise taken(name, self.address, "a collection")
            self.drop(name)
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("key", DataType.VARCHAR, is_primary=True, max_length=32)
        schema.add_field("row_hash", DataType.VARCHAR, max_length=32)
        for column in TEXTS:
            schema.add_field(column, DataType.VARCHAR, max_length=MOST_BYTES)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=info.dimension)
        index = self._client.prepare_index_params()
        if info.index == "exact":
            index.add_index("vector", index_type="FLAT", metric_type="IP")
        else:
            graph = {"M": 16, "efConstruction": 200}
            index.add_index("vector", index_type="HNSW", metric_type="IP", params=graph)
        self._client.create_collection(
            name, schema=schema, index_params=index, properties={"embedlib": info.model_dump_json()}
        )

    def describe(self, name: str, info: CollectionInfo) -> None:
        """Replace the property."""
        self._client.alter_collection_properties(name, {"embedlib": info.model_dump_json()})

    def held(self, name: str) -> Iterator[tuple[list[str], list[str]]]:
        """Two fields of all rows."""
        self._load(name)
        pages = self._client.query_iterator(name, batch_size=PAGE, output_fields=["key", "row_hash"])
        try:
            while page := pages.next():
                yield [row["key"] for row in page], [row["row_hash"] for row in page]
        finally:
            pages.close()

    def upsert(self, name: str, rows: pa.Table) -> None:
        """One request."""
        found = rows.to_pylist()
        for row in found:
            _require_short(row)
        self._client.upsert(name, found)

    def delete(self, name: str, keys: list[str]) -> None:
        """One request."""
        self._client.delete(name, ids=keys)

    def finish(self, name: str, info: CollectionInfo) -> None:
        """Seal what was written, so that it is indexed, and load it."""
        self._client.flush(name)
        self._load(name)

    def search(self, name: str, queries: Floats, k: int, *, exact: bool) -> list[list[Found]]:
        """One request for all queries."""
        self._load(name)
        self._loaded.discard(name)  # until it answers: a server that was restarted has forgotten it
        answers = self._client.search(
            name,
            queries.tolist(),
            limit=k,
            search_params={"params": {} if exact else {"ef": beam(k)}},
            output_fields=["doc_id"],
            timeout=self._wait_s,
        )
        self._loaded.add(name)
        return [[Found(hit["entity"]["doc_id"], hit["distance"]) for hit in answer] for answer in answers]

    def cut_over(self, name: str) -> None:
        """Move the alias by one request."""
        change = self._client.create_alias if self.live() is None else self._client.alter_alias
        change(name, self.target)

    def drop(self, name: str) -> None:
        """The collection and its properties."""
        self._loaded.discard(name)
        self._client.drop_collection(name)

    def _load(self, name: str) -> None:
        """Have it in memory; Milvus Lite has forgotten it after a kill."""
        if name not in self._loaded:
            self._client.load_collection(name, timeout=self._wait_s)
            self._loaded.add(name)

    def close(self) -> None:
        """End the connection; a Milvus Lite in this process lets its file go."""
        self._client.close()
        if self.address.endswith(".db"):
            from milvus_lite.server_manager import server_manager_instance

            server_manager_instance.release_server(self.address)


def _require_short(row: dict[str, Any]) -> None:
    for name in TEXTS:
        size = len(row[name].encode())
        if size > MOST_BYTES:
            raise DataError(
                f"the {name} of document {row['doc_id'][:80]!r} is longer than Milvus can hold",
                expected=f"at most {MOST_BYTES} bytes",
                found=f"{size} bytes",
                remedy="cut documents into chunks (ingest.chunk), or use another store",
            )

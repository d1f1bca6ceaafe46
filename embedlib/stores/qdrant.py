"""Qdrant: a collection each; the target's name is an alias, moved by one request.

The address is a server's URL, or a folder for the client's own local mode.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from uuid import UUID

import pyarrow as pa

from embedlib.contracts import Floats
from embedlib.stores.base import WAIT_S, CollectionInfo, Found, beam, client_errors, collection_infos, taken

PAGE = 4096
#: Seconds between two looks at whether the index is built.
LOOK_S = 1.0


class QdrantStore:
    """A target in Qdrant.

    Raises:
        UserError: The name is taken.
    """

    copies = False

    def __init__(
        self, address: str, target: str, key: str | None = None, wait_s: float | None = None
    ) -> None:
        from qdrant_client import QdrantClient
        from qdrant_client.http.exceptions import ApiException

        self.address, self.target = address, target
        self.errors: tuple[type[Exception], ...] = (ApiException, RuntimeError, OSError)
        self._local = "://" not in address
        limit = math.ceil(wait_s or WAIT_S)
        place = {"url": address, "api_key": key} if not self._local else {"path": address}
        with client_errors(address, self.errors):
            self._client = QdrantClient(**place, timeout=limit, check_compatibility=False)

    def collections(self) -> dict[str, CollectionInfo]:
        """What is in the metadata of the target's collections."""
        names = [c.name for c in self._client.get_collections().collections]
        return collection_infos(self.target, names, self._kept)

    def _kept(self, name: str) -> str | None:
        return (self._client.get_collection(name).config.metadata or {}).get("embedlib")

    def live(self) -> str | None:
        """Where the alias leads."""
        aliases = {a.alias_name: a.collection_name for a in self._client.get_aliases().aliases}
        if self.target not in aliases and self._client.collection_exists(self.target):
            raise taken(self.target, self.address, "a collection")
        return aliases.get(self.target)

    def create(self, name: str, info: CollectionInfo, copy_of: str | None = None) -> None:
        """A collection with dot products; without a graph where the search is exact."""
        from qdrant_client import models

        if self._client.collection_exists(name) and self._kept(name) is None:
            raise taken(name, self.address, "a collection")
        self._client.delete_collection(name)
        self._client.create_collection(
            name,
            vectors_config=models.VectorParams(size=info.dimension, distance=models.Distance.DOT),
            hnsw_config=models.HnswConfigDiff(m=0) if info.index == "exact" else None,
            metadata={"embedlib": info.model_dump_json()},
        )

    def describe(self, name: str, info: CollectionInfo) -> None:
        """Replace the metadata's entry."""
        self._client.update_collection(name, metadata={"embedlib": info.model_dump_json()})

    def held(self, name: str) -> Iterator[tuple[list[str], list[str]]]:
        """Scroll over all points."""
        offset = None
        while True:
            points, offset = self._client.scroll(name, limit=PAGE, offset=offset, with_payload=["row_hash"])
            yield [UUID(str(p.id)).hex for p in points], [(p.payload or {})["row_hash"] for p in points]
            if offset is None:
                return

    def upsert(self, name: str, rows: pa.Table) -> None:
        """One request, answered when it is written; the key is the point's id."""
        from qdrant_client import models

        points = [
            models.PointStruct(id=str(UUID(row.pop("key"))), vector=row.pop("vector"), payload=row)
            for row in rows.to_pylist()
        ]
        self._client.upsert(name, points, wait=True)

    def delete(self, name: str, keys: list[str]) -> None:
        """One request, answered when it is done."""
        self._client.delete(name, [str(UUID(key)) for key in keys], wait=True)

    def finish(self, name: str, info: CollectionInfo) -> None:
        """Wait until Qdrant has built the graph over what was written."""
        from qdrant_client import models

        while self._client.get_collection(name).status == models.CollectionStatus.YELLOW:
            time.sleep(LOOK_S)

    def search(self, name: str, queries: Floats, k: int, *, exact: bool) -> list[list[Found]]:
        """One request for all queries."""
        from qdrant_client import models

        params = models.SearchParams(exact=exact, hnsw_ef=None if exact else beam(k))
        given = None if self._local else params  # the local mode is always exact, and warns of parameters
        asked = [
            models.QueryRequest(query=query, limit=k, params=given, with_payload=["doc_id"])
            for query in queries.tolist()
        ]
        return [
            [Found((point.payload or {})["doc_id"], point.score) for point in answer.points]
            for answer in self._client.query_batch_points(name, asked)
        ]

    def cut_over(self, name: str) -> None:
        """Delete and create the alias in one request."""
        from qdrant_client import models

        new = models.CreateAlias(collection_name=name, alias_name=self.target)
        changes: list[models.AliasOperations] = [models.CreateAliasOperation(create_alias=new)]
        if self.live() is not None:
            old = models.DeleteAlias(alias_name=self.target)
            changes.insert(0, models.DeleteAliasOperation(delete_alias=old))
        self._client.update_collection_aliases(changes)

    def drop(self, name: str) -> None:
        """The collection and its metadata."""
        self._client.delete_collection(name)

    def close(self) -> None:
        """End the connection, or let the folder go."""
        self._client.close()

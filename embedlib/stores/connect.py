"""Open a target by the kind of its store."""

from __future__ import annotations

from embedlib.errors import UserError
from embedlib.stores.base import VectorStore

#: Stores by name, and the module that each client comes in.
CLIENTS = {"lancedb": "lancedb", "qdrant": "qdrant_client", "milvus": "pymilvus", "postgres": "psycopg2"}


def connect(
    kind: str, address: str, target: str, key: str | None = None, wait_s: float | None = None
) -> VectorStore:
    """Open a target.

    Args:
        kind: The store, of ``CLIENTS``.
        address: URL, or where an embedded store lies.
        target: Name of the target.
        key: API key or token, where the store takes one.
        wait_s: Longest wait for an answer, where somebody waits for it; loading takes its time.

    Raises:
        UserError: The client is not installed, or the store is unknown.
        ServiceError: The store cannot be reached.
    """
    try:
        match kind:
            case "lancedb":
                from embedlib.stores.lancedb import LanceStore

                return LanceStore(address, target)
            case "qdrant":
                from embedlib.stores.qdrant import QdrantStore

                return QdrantStore(address, target, key, wait_s)
            case "milvus":
                from embedlib.stores.milvus import MilvusStore

                return MilvusStore(address, target, key, wait_s)
            case "postgres":
                from embedlib.stores.pgvector import PgVectorStore

                return PgVectorStore(address, target, wait_s)
    except ImportError as error:
        raise UserError(
            f"the client of this store is not installed: {error.name}",
            remedy=f"pip install 'embedlib[{kind}]'",
        ) from error
    raise UserError("unknown vector store", expected=", ".join(CLIENTS), found=repr(kind))

"""The vector stores that can be had here, each with a place of its own for a test."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from postgres import Postgres, postgresql

from embedlib.stores.base import VectorStore
from embedlib.stores.connect import CLIENTS, connect

#: What an embedded store is called in a test's folder.
PLACES = {"lancedb": "lance", "qdrant": "qdrant", "milvus": "milvus.db"}


@pytest.fixture(scope="session")
def pgvector_server() -> Iterator[Postgres]:
    with postgresql(vectors=True) as server:
        yield server


@pytest.fixture
def address_of(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """Where a store of a kind is, empty; skips the test where its client is not installed."""

    def place(kind: str) -> str:
        if find_spec(CLIENTS[kind]) is None:
            pytest.skip(f"no client: pip install 'embedlib[{kind}]'")
        if kind != "postgres":
            return str(tmp_path / PLACES[kind])
        server = request.getfixturevalue("pgvector_server")
        database = f"d{uuid.uuid4().hex[:12]}"
        server.create(database)
        return server.url(database)

    return place


@pytest.fixture(params=CLIENTS)
def target(request: pytest.FixtureRequest, address_of: Callable[[str], str]) -> Iterator[VectorStore]:
    """The target ``docs`` in a store of each kind."""
    store = connect(request.param, address_of(request.param), "docs")
    yield store
    store.close()

"""What a vector store has to offer, and what is kept with each collection in it.

A target is one name in a store, such as ``docs``. Behind it stand one or two collections, ``docs_0001``,
``docs_0002``: the live one, which the name leads to, and the one that was live before or is being loaded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal, NamedTuple, Protocol

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError

from embedlib.contracts import Floats
from embedlib.errors import ServiceError, UserError
from embedlib.redact import redact
from embedlib.retrieval.plan import SearchPlan

COLLECTION_SCHEMA = 1
#: Longest wait for an answer while loading, where the client takes one.
WAIT_S = 60.0
#: Columns of a row beside its key, its hash and its vector.
TEXTS = ("doc_id", "title", "text", "source", "group_id", "metadata")
#: ``exact``: no index, every vector is compared; ``hnsw``: the store's own graph index.
IndexType = Literal["exact", "hnsw"]


class CollectionInfo(BaseModel):
    """What a collection holds; kept with it in the store.

    ``search`` is the release's plan with its fusion weight. ``whole`` is false from before the first row
    is written until every row was verified. ``serial`` counts the cut-overs of the target: the collection
    that was live before is the one with the second greatest.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_version: int = COLLECTION_SCHEMA
    release: int
    model_digest: str
    corpus_digest: str
    dimension: int
    count: int
    index: IndexType
    search: SearchPlan
    whole: bool = False
    serial: int = 0

    def same_space(self, other: CollectionInfo) -> bool:
        """Whether rows of the one may stand beside rows of the other."""
        mine, theirs = ((i.schema_version, i.model_digest, i.dimension, i.index) for i in (self, other))
        return mine == theirs

    def same_rows(self, other: CollectionInfo) -> bool:
        """Whether both hold the same documents by the same model."""
        return self.same_space(other) and self.corpus_digest == other.corpus_digest


class Found(NamedTuple):
    """One document found; ``score`` is the inner product with the query."""

    doc_id: str
    score: float


class VectorStore(Protocol):
    """One target in a vector store. Every method may be called again after a kill, with the same effect."""

    #: Shown in messages; without secrets.
    address: str
    #: What the client raises when the store cannot be reached or refuses.
    errors: tuple[type[Exception], ...]
    #: Whether the store itself can fill a new collection from another one.
    copies: bool

    def collections(self) -> dict[str, CollectionInfo]:
        """Every collection of the target."""

    def live(self) -> str | None:
        """The collection that the target's name leads to."""

    def create(self, name: str, info: CollectionInfo, copy_of: str | None = None) -> None:
        """Make an empty collection, or a copy where the store ``copies``; leftovers of its name go.

        Raises:
            UserError: Somebody else's has that name.
        """

    def describe(self, name: str, info: CollectionInfo) -> None:
        """Replace what is kept with a collection, in one step."""

    def held(self, name: str) -> Iterator[tuple[list[str], list[str]]]:
        """Keys and row hashes of all rows, in pages."""

    def upsert(self, name: str, rows: pa.Table) -> None:
        """Write rows (``row_schema``); one that has the same key is replaced."""

    def delete(self, name: str, keys: list[str]) -> None:
        """Remove rows by key."""

    def finish(self, name: str, info: CollectionInfo) -> None:
        """Build the index over all rows, and wait until it answers."""

    def search(self, name: str, queries: Floats, k: int, *, exact: bool) -> list[list[Found]]:
        """The k documents of highest inner product with each query, best first."""

    def cut_over(self, name: str) -> None:
        """Lead the target's name to a collection: readers see the old one or this one."""

    def drop(self, name: str) -> None:
        """Remove a collection that is not live."""

    def close(self) -> None:
        """End the connection."""


def row_schema(dimension: int) -> pa.Schema:
    """Columns of the rows that are written: key and row hash (32 hexadecimal digits), texts, vector."""
    text = [(name, pa.string()) for name in ("key", "row_hash", *TEXTS)]
    return pa.schema([*text, ("vector", pa.list_(pa.float32(), dimension))])


def collection_name(target: str, number: int) -> str:
    """Name of the target's collection with a number."""
    return f"{target}_{number:04d}"


def number_of(target: str, name: str) -> int | None:
    """Number of a collection of the target; None where the name is of something else."""
    found = re.fullmatch(rf"{re.escape(target)}_(\d{{4,}})", name)
    return int(found[1]) if found else None


def read_collection_info(name: str, text: str) -> CollectionInfo:
    """What is kept with a collection.

    Raises:
        UserError: It was written by another version, or by somebody else.
    """
    try:
        return CollectionInfo.model_validate_json(text)
    except ValidationError as error:
        raise UserError(
            f"what is kept with the collection {name!r} cannot be read",
            expected=f"schema version {COLLECTION_SCHEMA}",
            found=text[:200],
            remedy="use this embedlib with another collection name, or drop the collection",
        ) from error


def collection_infos(
    target: str, names: Iterable[str], kept: Callable[[str], str | None]
) -> dict[str, CollectionInfo]:
    """What is kept with the target's collections, as ``kept`` gives it: nothing with somebody else's."""
    found = {name: kept(name) for name in names if number_of(target, name) is not None}
    return {name: read_collection_info(name, text) for name, text in found.items() if text is not None}


def beam(k: int) -> int:
    """Candidates that a graph index follows for k hits; 1,000 is the most that pgvector takes."""
    return min(max(200, 2 * k), 1000)


@contextmanager
def client_errors(address: str, errors: tuple[type[Exception], ...]) -> Iterator[None]:
    """Turn what a store's client raises into a ``ServiceError`` without secrets."""
    try:
        yield
    except errors as error:
        raise ServiceError(
            "the vector store cannot be reached, or refuses",
            where=redact(address),
            found=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}",
            remedy="what the store answers with is whole; mend the cause, then `embedlib push-index` goes on",
        ) from error


def store_errors(store: VectorStore) -> AbstractContextManager[None]:
    """``client_errors`` of an open store."""
    return client_errors(store.address, store.errors)


def taken(target: str, address: str, what: str) -> UserError:
    """The name of a target, or of a collection of it, belongs to something that embedlib did not make."""
    return UserError(
        f"{target!r} is {what} that embedlib did not make",
        where=redact(address),
        expected="a name that is free",
        remedy="set publish.target.collection to another name, or remove it",
    )

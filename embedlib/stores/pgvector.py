"""PostgreSQL with pgvector: a table each; the target's name is a view, replaced in one transaction.

The address is a libpq URL, or SQLAlchemy's ``postgresql+driver://``. Who publishes needs the right to create
tables in the first schema of its search path, and the extension ``vector`` (created here where the user may);
who searches needs SELECT alone.
"""

from __future__ import annotations

import math
import os
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pyarrow as pa

from embedlib.contracts import Floats
from embedlib.errors import UserError
from embedlib.stores.base import (
    TEXTS,
    CollectionInfo,
    Found,
    beam,
    client_errors,
    read_collection_info,
    taken,
)

PAGE = 8192
#: Most components that pgvector's HNSW takes.
MOST_INDEXED = 2000
COLUMNS = ("key", "row_hash", *TEXTS, "vector")


class PgVectorStore:
    """A target in a PostgreSQL database.

    Raises:
        UserError: The name is taken.
    """

    copies = True

    def __init__(self, address: str, target: str, wait_s: float | None = None) -> None:
        import psycopg2
        import psycopg2.sql

        self.address, self.target = address, target
        self.errors: tuple[type[Exception], ...] = (psycopg2.Error,)
        self._sql = psycopg2.sql
        self._infos = f"{target}_collections"
        self._wait_s = wait_s
        url = re.sub(r"^postgres(ql)?\+\w+://", "postgresql://", address)
        limit = {} if wait_s is None else {"connect_timeout": math.ceil(wait_s)}
        self._connect = partial(psycopg2.connect, url, **limit)
        with client_errors(address, self.errors):
            self._connection = self._connect()

    def collections(self) -> dict[str, CollectionInfo]:
        """The rows of the table of collections."""
        rows = self._do("SELECT collection, info FROM {infos}") if self._is_there(self._infos) else []
        return {name: read_collection_info(name, info) for name, info in rows}

    def live(self) -> str | None:
        """The row that says so, written in the transaction that replaces the view."""
        rows = self._do("SELECT collection FROM {infos} WHERE live") if self._is_there(self._infos) else []
        if not rows and self._is_there(self.target):
            raise taken(self.target, self.address, "a relation")
        return str(rows[0][0]) if rows else None

    def create(self, name: str, info: CollectionInfo, copy_of: str | None = None) -> None:
        """A table, and its row, in one transaction."""
        _require_indexable(info)
        if self._is_there(name) and name not in self.collections():
            raise taken(name, self.address, "a relation")
        texts = ", ".join(f"{column} text NOT NULL" for column in TEXTS)
        with self._transaction() as cursor:
            self._run(cursor, "CREATE EXTENSION IF NOT EXISTS vector")
            self._run(
                cursor,
                "CREATE TABLE IF NOT EXISTS {infos} "
                "(collection text PRIMARY KEY, info text NOT NULL, live boolean NOT NULL DEFAULT false)",
            )
            self._run(cursor, "DROP TABLE IF EXISTS {name}", name=name)
            self._run(
                cursor,
                f"CREATE TABLE {{name}} (key uuid PRIMARY KEY, row_hash uuid NOT NULL, {texts}, "
                f"vector vector({info.dimension}) NOT NULL)",
                name=name,
            )
            if copy_of is not None:
                self._run(cursor, "INSERT INTO {name} SELECT * FROM {source}", name=name, source=copy_of)
            self._write_info(cursor, name, info)

    def describe(self, name: str, info: CollectionInfo) -> None:
        """Replace the row's ``info``."""
        with self._transaction() as cursor:
            self._write_info(cursor, name, info)

    def held(self, name: str) -> Iterator[tuple[list[str], list[str]]]:
        """Two columns, by a cursor on the server."""
        with self._transaction("held") as cursor:
            cursor.itersize = PAGE
            self._run(cursor, "SELECT key::text, row_hash::text FROM {name}", name=name)
            while page := cursor.fetchmany(PAGE):
                yield [key.replace("-", "") for key, _ in page], [h.replace("-", "") for _, h in page]

    def upsert(self, name: str, rows: pa.Table) -> None:
        """One statement."""
        from psycopg2.extras import execute_values

        changes = ", ".join(f"{column} = EXCLUDED.{column}" for column in COLUMNS[1:])
        text = (
            f"INSERT INTO {{name}} ({', '.join(COLUMNS)}) VALUES %s "  # noqa: S608 - constants
            f"ON CONFLICT (key) DO UPDATE SET {changes}"
        )
        values = [[str(row[column]) for column in COLUMNS] for row in rows.to_pylist()]
        with self._transaction() as cursor:
            execute_values(cursor, self._text(text, name=name), values, page_size=len(values))

    def delete(self, name: str, keys: list[str]) -> None:
        """One statement."""
        self._do("DELETE FROM {name} WHERE key = ANY(%s::uuid[])", [keys], name=name)

    def finish(self, name: str, info: CollectionInfo) -> None:
        """Build the graph if it is not there; PostgreSQL keeps it up to date after that."""
        if info.index == "hnsw":
            self._do(
                "CREATE INDEX IF NOT EXISTS {index} ON {name} USING hnsw (vector vector_ip_ops)",
                name=name,
                index=f"{name}_hnsw",
            )
        self._do("ANALYZE {name}", name=name)

    def search(self, name: str, queries: Floats, k: int, *, exact: bool) -> list[list[Found]]:
        """One statement a query; pgvector's ``<#>`` is the negative inner product."""
        found = []
        with self._transaction() as cursor:
            if exact:
                cursor.execute("SET LOCAL enable_indexscan = off")
            else:
                cursor.execute("SET LOCAL hnsw.ef_search = %s", [beam(k)])
            for query in queries.tolist():
                self._run(
                    cursor,
                    "SELECT doc_id, -(vector <#> %s::vector) FROM {name} "
                    "ORDER BY vector <#> %s::vector LIMIT %s",
                    [str(query), str(query), k],
                    name=name,
                )
                found.append([Found(doc_id, float(score)) for doc_id, score in cursor.fetchall()])
        return found

    def cut_over(self, name: str) -> None:
        """Replace the view and move the mark in one transaction; rights given on the view stay.

        The view's vectors have no length of their own, so that a model of another dimension fits.
        """
        columns = ", ".join(("key", *TEXTS, "vector::vector AS vector"))
        info = self.collections()[name]
        with self._transaction() as cursor:
            self._run(
                cursor,
                f"CREATE OR REPLACE VIEW {{target}} AS SELECT {columns}, "  # noqa: S608 - constants
                "{model}::text AS model_digest, {release}::int AS release FROM {name}",
                name=name,
                target=self.target,
                model=self._sql.Literal(info.model_digest),
                release=self._sql.Literal(info.release),
            )
            self._run(cursor, "UPDATE {infos} SET live = (collection = %s)", [name])

    def drop(self, name: str) -> None:
        """The table and its row, in one transaction."""
        with self._transaction() as cursor:
            self._run(cursor, "DROP TABLE IF EXISTS {name}", name=name)
            self._run(cursor, "DELETE FROM {infos} WHERE collection = %s", [name])

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    @contextmanager
    def _transaction(self, name: str | None = None) -> Iterator[Any]:
        """A cursor in a transaction of its own, on a new connection where the last one was lost."""
        if self._connection.closed:
            self._connection = self._connect()
        connection = self._connection
        with _cut_after(connection, self._wait_s), connection, connection.cursor(name) as cursor:
            yield cursor

    def _is_there(self, relation: str) -> bool:
        return bool(self._do("SELECT 1 WHERE to_regclass(%s) IS NOT NULL", [relation]))

    def _write_info(self, cursor: Any, name: str, info: CollectionInfo) -> None:
        self._run(
            cursor,
            "INSERT INTO {infos} (collection, info) VALUES (%s, %s) "
            "ON CONFLICT (collection) DO UPDATE SET info = EXCLUDED.info",
            [name, info.model_dump_json()],
        )

    def _do(self, text: str, values: list[Any] | None = None, **names: Any) -> list[tuple[Any, ...]]:
        """One statement in a transaction of its own; its rows."""
        with self._transaction() as cursor:
            self._run(cursor, text, values, **names)
            rows: list[tuple[Any, ...]] = cursor.fetchall() if cursor.description else []
            return rows

    def _run(self, cursor: Any, text: str, values: list[Any] | None = None, **names: Any) -> None:
        cursor.execute(self._text(text, **names), values)

    def _text(self, text: str, **names: Any) -> Any:
        """SQL with names quoted as PostgreSQL wants them."""
        quoted = {k: self._sql.Identifier(v) if isinstance(v, str) else v for k, v in names.items()}
        return self._sql.SQL(text).format(infos=self._sql.Identifier(self._infos), **quoted)


@contextmanager
def _cut_after(connection: Any, wait_s: float | None) -> Iterator[None]:
    """Shut the connection's socket when the time is over: libpq waits for ever for a frozen server."""
    if wait_s is None:
        yield
        return
    with socket.socket(fileno=os.dup(connection.fileno())) as line:
        timer = threading.Timer(wait_s, line.shutdown, [socket.SHUT_RDWR])
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()


def _require_indexable(info: CollectionInfo) -> None:
    if info.index == "hnsw" and info.dimension > MOST_INDEXED:
        raise UserError(
            "pgvector's index does not take vectors of this dimension",
            where="publish.target.index",
            expected=f"at most {MOST_INDEXED} components",
            found=str(info.dimension),
            remedy="set publish.target.index to exact, or index.dimension to fewer components",
        )

"""Documents from any database that SQLAlchemy speaks to, its rows streamed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import Any

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from embedlib.corpus.records import FieldNames, Item, jsonable, require_once, to_record
from embedlib.errors import ConfigError, DataError, ServiceError, UserError


def database_url(variable: str) -> str:
    """The database's URL from the environment, where its password may stand.

    Raises:
        ConfigError: It is not set, or is no URL. The value is not shown.
    """
    value = os.environ.get(variable, "")
    if not value:
        raise ConfigError(
            [f"ingest.source.url_env: environment variable {variable} is not set"],
            remedy=f"export {variable}=postgresql+psycopg2://user:password@host/database",
        )
    try:
        make_url(value)
    except ArgumentError:
        raise ConfigError([f"ingest.source.url_env: {variable} holds no database URL"]) from None
    return value


_QUOTED = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\$(\w*)\$.*?\$\1\$|--[^\n]*|/\*.*?\*/""", flags=re.DOTALL
)
_READS = re.compile(r"\(*\s*(select|with|values|table)\b", flags=re.IGNORECASE)
_WRITES = re.compile(r";|\binto\b", flags=re.IGNORECASE)


def require_select(query: str) -> str:
    """The query, if it is one SELECT by its words; texts and comments in it do not count.

    What a SELECT can still do, by a function or in a WITH, is for the connection to refuse (``_read_only``).

    Raises:
        DataError: It is something else, or more than one statement.
    """
    bare = _QUOTED.sub(" ", query).strip().rstrip("; \t\r\n")
    if not _READS.match(bare) or _WRITES.search(bare):
        raise DataError(
            "the query is not one SELECT statement",
            where="ingest.source",
            expected="one statement that starts with SELECT or WITH and reads only",
            found=query[:300],
            remedy="correct the query of the source; embedlib changes nothing in a database",
        )
    return query


def _read_only(connection: Connection) -> Connection:
    """The connection, told to refuse whatever writes, in the way of its database."""
    match connection.dialect.name:
        case "sqlite":
            connection.connection.dbapi_connection.set_authorizer(_sqlite_reads)  # type: ignore[union-attr]
        case "postgresql":
            connection = connection.execution_options(postgresql_readonly=True)
        case "mysql" | "mariadb" | "oracle":
            connection.execute(text("SET TRANSACTION READ ONLY"))
    return connection


def _sqlite_reads(action: int, _: str | None, value: str | None, *__: object) -> int:
    reads = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
    asks = action == sqlite3.SQLITE_PRAGMA and value is None
    allowed = action in reads or asks or action == sqlite3.SQLITE_TRANSACTION
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


def sql_rows(url: str, query: str) -> Iterator[Mapping[str, Any]]:
    """The query's rows by column, a thousand in memory at a time (a server-side cursor where there is one).

    The query runs on a connection that refuses to write.

    Raises:
        ServiceError: The database cannot be reached.
        DataError: The query fails, or is no SELECT.
    """
    require_select(query)
    shown = make_url(url).set(query={}).render_as_string(hide_password=True)  # parameters may be secrets
    with _connected(url, shown) as connection:
        try:
            streamed = _read_only(connection).execution_options(stream_results=True, yield_per=1000)
            result = streamed.execute(text(query))
            if not result.returns_rows:
                raise DataError(
                    "the query returns no rows", where=shown, expected="a SELECT statement", found=query
                )
            names = list(result.keys())
            require_once(names, list(dict.fromkeys(names)), shown)
            for row in result.mappings():
                yield dict(row)
        except SQLAlchemyError as error:
            raise DataError(
                "the query fails",
                where=shown,
                found=f"{_reason(error, url)}, in: {query[:300]}",
                remedy="correct the query of the source",
            ) from None


@contextmanager
def _connected(url: str, shown: str) -> Iterator[Connection]:
    """A connection; ``shown`` is the URL without its secrets."""
    try:
        engine = create_engine(url)
    except (NoSuchModuleError, ImportError, ArgumentError) as error:
        remedy = "install the driver's package"
        raise UserError("no driver for this database", where=shown, found=str(error), remedy=remedy) from None
    try:
        with engine.connect() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise ServiceError(
            "the database cannot be reached",
            where=shown,
            found=_reason(error, url),
            remedy="check URL and server",
        ) from None
    finally:
        engine.dispose()


def _reason(error: SQLAlchemyError, url: str) -> str:
    """The database's own words, without the password and the values of the URL's parameters."""
    words = " ".join(str(getattr(error, "orig", None) or error).split())[:500]
    parts = make_url(url)
    for secret in (parts.password, *chain.from_iterable(parts.normalized_query.values())):
        if secret:  # as a word of its own: "ro" stands in "error" too
            words = re.sub(rf"(?<!\w){re.escape(str(secret))}(?!\w)", "***", words)
    return words


def read_sql(url: str, query: str, names: FieldNames) -> Iterator[Item]:
    """A document a row of ``query``.

    Raises:
        ServiceError: The database cannot be reached.
        DataError: The query fails or lacks a column.
    """
    mapped = None
    for number, row in enumerate(sql_rows(url, query), start=1):
        mapped = mapped or names.resolve(list(row), "the SQL query")
        yield to_record(row, mapped, f"sql:row {number}")


def sql_digest(url: str, query: str) -> str:
    """Digest of the query's rows in any order: it changes when the documents do."""
    total = 0
    for row in sql_rows(url, query):
        values = {name: jsonable(value) for name, value in row.items()}
        hashed = hashlib.sha256(json.dumps(values, sort_keys=True).encode(errors="surrogatepass")).digest()
        total = (total + int.from_bytes(hashed[:16])) % 2**128
    return f"{total:032x}"

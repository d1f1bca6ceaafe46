"""SQL sources on SQLite and on a real PostgreSQL; passwords stay where they are."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres import postgresql

from embedlib.contracts import Corpus
from embedlib.corpus.sql import require_select, sql_digest, sql_rows
from embedlib.errors import ConfigError, DataError, ServiceError, UserError

ROWS = [("a", "Title", "first text"), ("b", None, "second text"), ("c", "", "third text")]
FILL = """insert into docs
    select i, 'Title ' || i, 'the text of document ' || i, '2020-01-02' from generate_series(1, 5000) i"""
VARIABLE = "EMBEDLIB_TEST_SQL"
QUERY = "select id, title, body from docs order by id"


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "docs.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("create table docs (id text, title text, body text)")
        connection.executemany("insert into docs values (?, ?, ?)", ROWS)
    connection.close()
    monkeypatch.setenv(VARIABLE, f"sqlite:///{path}")
    return path


def _source(query: str = QUERY, **options: str) -> dict[str, str]:
    return {"type": "sql", "url_env": VARIABLE, "query": query, **options}


def test_rows_of_a_query_are_documents(database: Path, ingest) -> None:
    corpus = ingest(_source())
    assert [(d.doc_id, d.title, d.text) for d in Corpus(corpus.path).documents()] == [
        ("a", "Title", "first text"),
        ("b", "", "second text"),
        ("c", "", "third text"),
    ]


def test_a_changed_row_is_seen_and_a_version_query_decides_alone(database: Path, ingest) -> None:
    first, versioned = ingest(_source()), ingest(_source(version_query="select count(*) from docs"))
    with sqlite3.connect(database) as connection:
        connection.execute("update docs set body = 'changed' where id = 'b'")
    connection.close()
    assert ingest(_source()).fingerprint != first.fingerprint
    assert ingest(_source(version_query="select count(*) from docs")).fingerprint == versioned.fingerprint


def test_the_digest_does_not_depend_on_the_order_of_rows(database: Path) -> None:
    url = f"sqlite:///{database}"
    assert sql_digest(url, QUERY) == sql_digest(url, QUERY + " desc")
    assert sql_digest(url, QUERY) != sql_digest(url, "select id, title, body from docs where id < 'c'")


BAD = [
    ("no rows", "select id, body from docs where 1 = 0", DataError, "no document with text"),
    ("no text column", "select id, title as words from docs", DataError, "no column that holds the text"),
    ("unknown table", "select * from nowhere", DataError, "the query fails"),
    ("not SQL", "choose everything", DataError, "is not one SELECT"),
    ("not a query", "create table x (y int)", DataError, "is not one SELECT"),
    ("no table", "select id, body from docs where", DataError, "the query fails"),
    ("text is a number", "select id, 5 as body from docs", DataError, "not a text but int"),
    ("text is null", "select id, null as body from docs", DataError, "not a text but missing"),
    ("id twice", "select 'a' as id, body from docs", DataError, "duplicate id 'a'"),
]


@pytest.mark.parametrize(("query", "kind", "words"), [c[1:] for c in BAD], ids=[c[0] for c in BAD])
def test_bad_queries(query: str, kind: type[Exception], words: str, database: Path, ingest) -> None:
    with pytest.raises(kind, match=words):
        ingest(_source(query))


def test_bad_rows_of_a_query_are_skipped_by_number(database: Path, ingest, rows) -> None:
    query = "select id, case id when 'b' then null else body end as body from docs order by id"
    corpus = ingest(_source(query), on_bad_row="skip")
    assert Corpus(corpus.path).ids == ["a", "c"]
    assert rows(corpus, "rejected.jsonl") == [
        {"where": "sql:row 2", "reason": "'body' is not a text but missing"}
    ]


def test_the_url_must_be_in_the_environment_and_be_one(ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(ConfigError, match="is not set"):
        ingest(_source())
    monkeypatch.setenv(VARIABLE, "hunter2, no url")
    with pytest.raises(ConfigError, match="holds no database URL") as error:
        ingest(_source())
    assert "hunter2" not in str(error.value)
    monkeypatch.setenv(VARIABLE, "klingon://user:hunter2@host/db")
    with pytest.raises(UserError, match="no driver") as error:
        ingest(_source())
    assert "hunter2" not in str(error.value)


def test_the_password_of_an_unreachable_database_is_not_shown(
    ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "postgresql+psycopg2://user:hunter2@127.0.0.1:1/db")
    with pytest.raises(ServiceError, match="cannot be reached") as error:
        ingest(_source())
    assert "hunter2" not in str(error.value)
    assert "127.0.0.1" in error.value.where


@pytest.mark.parametrize("query", ["select nothing from nowhere", QUERY])
def test_parameters_of_the_url_are_not_shown(
    query: str, database: Path, ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token may stand among them: neither a failing query nor a database that is away shows it."""
    where = database if "nowhere" in query else database.parent / "missing" / "docs.db"
    monkeypatch.setenv(VARIABLE, f"sqlite+pysqlite:///file:{where}?uri=true&mode=ro&token=hunter2")
    with pytest.raises((DataError, ServiceError)) as error:
        ingest(_source(query))
    assert "hunter2" not in str(error.value)
    assert str(where) in error.value.where
    assert "nowhere" in error.value.found or isinstance(error.value, ServiceError)
    assert "***" not in error.value.found  # nor is a word of the reason torn: "mode=ro" is a parameter


def test_no_artifact_holds_the_url(database: Path, ingest, store) -> None:
    ingest(_source())
    kept = b"".join(path.read_bytes() for path in store.root.rglob("*") if path.is_file())
    assert str(database).encode() not in kept
    assert VARIABLE.encode() in kept


WRITES = [
    "drop table docs",
    "delete from docs",
    "create table copied as select * from docs",
    "select id, body from docs; drop table docs",
    "select id, body from docs; commit; drop table docs",
    "/* select */ drop table docs",
    "-- select\nupdate docs set body = ''",
    "with gone as (delete from docs returning *) select id, body from gone",
    "select id, body into copied from docs",
]
SQLITE_WRITES = ["vacuum into '{new}'", "attach '{new}' as other", "pragma user_version = 5"]


@pytest.mark.parametrize("query", WRITES + SQLITE_WRITES)
@pytest.mark.parametrize("option", ["query", "version_query"])
@pytest.mark.parametrize("checked", [True, False], ids=["checked", "by-connection"])
def test_sqlite_is_only_read(
    query: str, option: str, checked: bool, database: Path, ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the words of the query, and by the connection alone."""
    if not checked:
        monkeypatch.setattr("embedlib.corpus.sql.require_select", lambda query: query)
    before, new = database.read_bytes(), database.with_name("new.sqlite")
    with pytest.raises(DataError):
        ingest({**_source(), option: query.format(new=new)})
    assert database.read_bytes() == before
    assert not new.exists()


READS = [
    "select 'a; drop table docs' as id, body from docs limit 1",
    'with "x;" as (select * from docs) select id, body from "x;" limit 1;',
    "(select id, body from docs limit 1)",
    "-- first; second\nselect id, body /* ; into */ from docs limit 1 ;\n",
    "select id, body as \"text\", 'into' as title from docs limit 1",
]


@pytest.mark.parametrize("query", READS)
def test_a_sign_in_a_text_or_comment_is_no_second_statement(query: str) -> None:
    assert require_select(query) == query


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """URL of a PostgreSQL started for these tests; skips where there is none."""
    with postgresql() as server:
        yield server.url()


@pytest.fixture
def filled(postgres: str, monkeypatch: pytest.MonkeyPatch) -> str:
    from sqlalchemy import create_engine, text

    monkeypatch.setenv(VARIABLE, postgres)
    engine = create_engine(postgres)
    with engine.begin() as connection:
        connection.execute(text("drop table if exists docs"))
        connection.execute(text("create table docs (id int, title text, body text, day date)"))
        connection.execute(text(FILL))
    engine.dispose()
    return postgres


def test_postgresql_rows_are_streamed(filled: str, ingest) -> None:
    source = {**_source("select id, title, body, day from docs"), "fields": {"metadata": ["day"]}}
    corpus = ingest(source)
    documents = {d.doc_id: d for d in Corpus(corpus.path).documents()}
    assert len(documents) == 5000
    assert documents["42"][:3] == ("42", "Title 42", "the text of document 42")
    assert documents["42"].metadata == '{"day": "2020-01-02"}'


def test_postgresql_rows_stay_on_the_server_until_they_are_read(filled: str) -> None:
    stream = sql_rows(filled, "select generate_series(1, 100000000) as id, repeat('x', 1000) as body")
    assert next(stream)["id"] == 1
    stream.close()


def test_postgresql_errors_name_the_fault(filled: str, ingest) -> None:
    with pytest.raises(DataError, match="the query fails") as error:
        ingest(_source("select * from nowhere"))
    assert 'relation "nowhere" does not exist' in error.value.found
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("query", [*WRITES, "select nextval('numbers')"])
@pytest.mark.parametrize("checked", [True, False], ids=["checked", "by-connection"])
def test_postgresql_is_only_read(
    query: str, checked: bool, filled: str, ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy import create_engine, text

    engine = create_engine(filled)
    with engine.begin() as connection:
        connection.execute(text("create sequence if not exists numbers"))
    if not checked and ";" not in query:  # what ends the transaction can be refused by its words alone
        monkeypatch.setattr("embedlib.corpus.sql.require_select", lambda query: query)
    with pytest.raises(DataError):
        ingest(_source(query))
    with engine.connect() as connection:
        assert connection.execute(text("select count(*) from docs where body <> ''")).scalar() == 5000
        assert connection.execute(text("select last_value from numbers")).scalar() == 1
        assert connection.execute(text("select to_regclass('copied')")).scalar() is None
    engine.dispose()

"""What the configuration says of a store, and what goes wrong there: told with the remedy, without secrets."""

from __future__ import annotations

import json

import numpy as np
import pytest
from index_workspace import words
from postgres import PASSWORD, USER
from published import small_config

from embedlib.cli.app import settings
from embedlib.cli.live import push_live_index, search
from embedlib.cli.serving import searcher_of
from embedlib.config.index import Publish
from embedlib.config.live import live_values
from embedlib.config.root import load_config
from embedlib.doctor.diagnose import check_target
from embedlib.errors import ConfigError, DataError, ServiceError, UserError
from embedlib.index.catalog import current, releases_dir, write_configuration
from embedlib.index.verify import Checks
from embedlib.stages.preflight import preflight
from embedlib.stages.push import push_index
from embedlib.stores.connect import CLIENTS, connect
from embedlib.stores.push import PushOptions, push_release
from embedlib.stores.searcher import StoreSearcher, live_collection

SECRET = "hunter2"


def target(**options) -> Publish:
    return load_config(values={"publish": {"target": options}}).publish


def test_a_release_is_pushed_and_searched_from_the_command_line(released, tmp_path, capsys, monkeypatch):
    pytest.importorskip("lancedb")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EMBEDLIB_STORE_ADDRESS", str(tmp_path / "lance"))
    push_live_index(workspace=released, overrides=["publish.target.type=lancedb"])
    push_live_index(workspace=released, overrides=["publish.target.type=lancedb"], as_json=True)
    first, _, second = capsys.readouterr().out.partition("\n")
    assert first == "release 1 answers as embedlib_0001: 160 rows sent, 0 deleted"
    assert '"reused": true' in second
    with pytest.raises(ConfigError, match=r"publish\.target: no vector store is configured"):
        search("river stone", workspace=released, store=True)  # the release does not know of it
    remembered = {**live_values(released), "publish": {"target": {"type": "lancedb"}}}
    write_configuration(releases_dir(released) / "1", remembered)
    capsys.readouterr()
    search("river stone", workspace=released, store=True, as_json=True)
    through = json.loads(capsys.readouterr().out)
    search("river stone", workspace=released, as_json=True)
    assert through == json.loads(capsys.readouterr().out)
    assert len(through) == 10
    live = settings(None, None, released, None, of_live=True, documents=False)
    with searcher_of(live, store=True) as served, searcher_of(live, store=False) as files:
        assert isinstance(served, StoreSearcher)
        assert not isinstance(files, StoreSearcher)
        assert [hit.doc_id for hit in served.search("river stone")] == [hit["doc_id"] for hit in through]
    assert [f.title for f in check_target(released, current(released))] == [
        "it answers with the live release"
    ]


def test_what_a_configuration_lacks_is_told_before_the_first_stage(tmp_path, monkeypatch):
    monkeypatch.delenv("EMBEDLIB_STORE_ADDRESS", raising=False)
    monkeypatch.setitem(CLIENTS, "qdrant", "no_such_package")
    config = small_config(
        tmp_path, tmp_path, tmp_path, publish={"target": {"type": "qdrant", "key_env": "QDRANT"}}
    )
    with pytest.raises(ConfigError) as caught:
        preflight(config, ["publish"])
    for text in (
        "publish.target: no address is configured, and the environment variable EMBEDLIB_STORE_ADDRESS is not set",
        "publish.target.type: 'qdrant' needs: pip install 'embedlib[qdrant]'",
        "publish.target.key_env: the environment variable QDRANT is not set",
    ):
        assert text in str(caught.value)


def test_a_password_is_no_option():
    with pytest.raises(ConfigError, match="a secret, which belongs in the environment") as caught:
        target(type="postgres", address=f"postgresql://me:{SECRET}@db/prod")
    assert SECRET not in str(caught.value)


def test_a_folder_is_found_from_everywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert target(type="lancedb", address="lance").target.address == str(tmp_path / "lance")
    assert target(type="lancedb", address="s3://bucket/lance").target.address == "s3://bucket/lance"


@pytest.mark.parametrize(
    ("kind", "address"),
    [
        ("postgres", f"postgresql+psycopg2://me:{SECRET}@127.0.0.1:1/prod"),
        ("qdrant", "http://127.0.0.1:1"),
        ("milvus", f"http://me:{SECRET}@127.0.0.1:1"),
        ("lancedb", "/proc/none"),
    ],
)
def test_a_store_that_is_not_there_is_a_service_error_without_its_secret(
    released, monkeypatch, kind, address
):
    pytest.importorskip(CLIENTS[kind])
    monkeypatch.setenv("EMBEDLIB_STORE_ADDRESS", address)
    monkeypatch.setattr("embedlib.stores.milvus.WAIT_S", 1.0)
    with pytest.raises(ServiceError, match="cannot be reached, or refuses") as caught:
        push_index(released, target(type=kind))
    assert SECRET not in str(caught.value)
    assert "push-index` goes on" in str(caught.value)


def test_a_name_of_somebody_else_is_left_alone(workspace, address_of):
    workspace.publish(workspace.parts(words(20)))
    options = PushOptions(500, "hnsw", checks=Checks(encoder=workspace.encoder()))
    for kind, taken in (("lancedb", make_lance), ("postgres", make_postgres), ("qdrant", make_qdrant)):
        address = address_of(kind)
        taken(address)
        store = connect(kind, address, "docs")
        with pytest.raises(UserError, match=r"'docs' is a (table|relation|collection) that"):
            push_release(workspace.root, store, "docs", options)
        store.close()


def test_numbered_collections_of_somebody_else_are_left_alone(workspace, address_of):
    workspace.publish(workspace.parts(words(20)))
    options = PushOptions(500, "hnsw", checks=Checks(encoder=workspace.encoder()))
    for kind, make in (
        ("lancedb", make_lance),
        ("postgres", make_postgres),
        ("qdrant", make_qdrant),
        ("milvus", make_milvus),
    ):
        address = address_of(kind)
        make(address, "docs_2024")
        store = connect(kind, address, "docs")
        assert push_release(workspace.root, store, "docs", options).collection == "docs_0001"
        store.close()
        make(address, "notes_0001")
        store = connect(kind, address, "notes")
        with pytest.raises(UserError, match=r"'notes_0001' is a (table|relation|collection) that"):
            push_release(workspace.root, store, "notes", options)
        assert store.live() is None
        store.close()


def make_lance(address: str, name: str = "docs") -> None:
    import lancedb

    lancedb.connect(address).create_table(name, data=[{"vector": [1.0, 2.0]}])


def make_postgres(address: str, name: str = "docs") -> None:
    import psycopg2

    with psycopg2.connect(address.replace("+psycopg2", "")) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {name} (id int)")
    connection.close()


def make_qdrant(address: str, name: str = "docs") -> None:
    from qdrant_client import QdrantClient, models

    client = QdrantClient(path=address)
    client.create_collection(name, models.VectorParams(size=2, distance=models.Distance.DOT))
    client.close()


def make_milvus(address: str, name: str) -> None:
    store = connect("milvus", address, "other")
    store._client.create_collection(name, dimension=4)
    store.close()


def test_milvus_refuses_a_text_that_it_would_cut(workspace, address_of):
    workspace.publish(workspace.parts({**words(5), "long": "word " * 20_000}))
    store = connect("milvus", address_of("milvus"), "docs")
    options = PushOptions(500, "hnsw", checks=Checks(encoder=workspace.encoder()))
    with pytest.raises(DataError, match="the text of document 'long' is longer than Milvus can hold"):
        push_release(workspace.root, store, "docs", options)
    assert store.live() is None
    store.close()


def test_a_view_keeps_its_rights_and_takes_another_dimension(workspace, address_of, monkeypatch):
    """What applications see in PostgreSQL: one view, searched by the table's graph."""
    import psycopg2

    address = address_of("postgres")
    store = connect("postgres", address, "docs")
    workspace.publish(workspace.parts(words(20)))
    options = PushOptions(500, "hnsw", checks=Checks(encoder=workspace.encoder()))
    push_release(workspace.root, store, "docs", options)
    with psycopg2.connect(address.replace("+psycopg2", "")) as connection, connection.cursor() as cursor:
        cursor.execute("GRANT SELECT ON docs TO pg_monitor")
        connection.commit()
        workspace.publish(workspace.parts(words(30)))
        monkeypatch.setattr("embedlib.stores.rows.scored_dimension", lambda *_: 9)
        push_release(workspace.root, store, "docs", options)
        cursor.execute("SELECT count(*), max(vector_dims(vector)), max(release) FROM docs")
        assert cursor.fetchone() == (30, 9, 2)
        cursor.execute("SELECT has_table_privilege('pg_monitor', 'docs', 'SELECT')")
        assert cursor.fetchone() == (True,)
        cursor.execute("SET enable_seqscan = off")
        cursor.execute("EXPLAIN SELECT doc_id FROM docs ORDER BY vector <#> %s LIMIT 3", [str([1.0] * 9)])
        assert "Index Scan using docs_0002_hnsw" in str(cursor.fetchall())
        cursor.execute(
            "CREATE ROLE app LOGIN PASSWORD 'app'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO app"
        )
    connection.close()
    store.close()
    reading = connect("postgres", address.replace(f"{USER}:{PASSWORD}", "app:app"), "docs")
    assert live_collection(reading)[1].release == 2
    assert reading.search("docs_0002", np.eye(9, dtype=np.float32)[:1], 3, exact=False)[0]
    reading.close()


def test_the_doctor_says_that_a_store_lags_or_cannot_be_asked(released, tmp_path):
    pytest.importorskip("lancedb")
    release = current(released)
    assert list(check_target(released, release)) == []
    for place, severity, title in (
        (tmp_path / "lance", "warning", "nothing was published into it"),
        ("/proc/none", "error", "it cannot be asked"),
    ):
        remembered = {
            **live_values(released),
            "publish": {"target": {"type": "lancedb", "address": str(place)}},
        }
        write_configuration(releases_dir(released) / "1", remembered)
        (found,) = check_target(released, release)
        assert (found.severity, found.title) == (severity, title)
        assert found.command.startswith("embedlib push-index")
    remembered["publish"]["target"]["address"] = str(tmp_path / "lance")
    write_configuration(releases_dir(released) / "1", remembered)
    push_live_index(workspace=released)
    other = release.model_copy(update={"parts": release.parts | {"model": release.parts["corpus"]}})
    (found,) = check_target(released, other)
    assert (found.severity, found.title) == ("warning", "it answers with another release")

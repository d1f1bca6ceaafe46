"""Marks and served queries: what is written, and who reads it."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta

import pytest
from live_server import LiveServer

from embedlib.corpus.marks import MARKS, SERVED_QUERIES
from embedlib.errors import StoreError
from embedlib.monitoring.logs import read_labels, read_query_log
from embedlib.serving.feedback import Marks, QueryLog, append_record


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def mark(server, **body):
    given = {"query": "banana", "doc_id": "a", "relevant": True, "release": 1, **body}
    return server.client.post("/marks", json=given)


def test_marks_are_written_as_labels(server, shop):
    assert mark(server).status_code == 201
    assert mark(server, doc_id="c", relevant=False).json() == {"relevance": 0}
    written = lines(shop.root / MARKS)
    assert [(m["query"], m["doc_id"], m["relevance"], m["release"]) for m in written] == [
        ("banana", "a", 1, 1),
        ("banana", "c", 0, 1),
    ]
    assert [label.relevance for label in read_labels(shop.root / MARKS, 9)] == [1, 0]
    assert (shop.root / MARKS).stat().st_mode & 0o077 == 0
    assert 'embedlib_marks_total{relevance="0"} 1.0' in server.client.get("/metrics").text


@pytest.mark.parametrize(
    "body",
    [
        {"query": " "},
        {"query": "\u200b"},
        {"query": "a" * 8193},
        {"doc_id": ""},
        {"doc_id": "d" * 2049},
        {"release": 0},
        {"more": 1},
    ],
)
def test_what_is_no_mark_is_not_written(server, shop, body):
    assert mark(server, **body).status_code == 422
    assert not (shop.root / MARKS).exists()


def test_marks_need_the_key_and_the_page_does_not(shop):
    with LiveServer(shop.root, key="0123456789abcdef") as server:
        server.client.headers.pop("Authorization")
        assert mark(server).status_code == 401
        assert server.client.get("/").status_code == 200
        assert not (shop.root / MARKS).exists()


def test_a_mark_that_cannot_be_written_is_an_error_and_not_lost_silently(server, shop):
    (shop.root / "feedback").write_text("a file where the folder should be")
    response = mark(server)
    assert response.status_code == 500
    assert str(shop.root) not in response.text


def test_the_file_of_marks_cannot_fill_the_disk(tmp_path):
    marks = Marks(tmp_path, max_bytes=300)
    for _ in range(3):
        marks.add("banana", "a", True, 1)
    with pytest.raises(StoreError, match="cannot be written"):
        marks.add("banana", "a", True, 1)
    assert (tmp_path / MARKS).stat().st_size < 400


def test_a_torn_line_takes_no_other_with_it(tmp_path):
    path = tmp_path / "log.jsonl"
    append_record(path, {"n": 1})
    path.write_bytes(path.read_bytes() + b'{"n": 2')
    append_record(path, {"n": 3})
    assert path.read_text() == '{"n": 1}\n{"n": 2\n{"n": 3}\n'


def test_by_default_no_query_is_kept(server, shop):
    server.search("banana")
    assert not (shop.root / SERVED_QUERIES).exists()


def test_served_queries_are_kept_for_drift_without_anything_about_the_client(shop):
    with LiveServer(shop.root, key="0123456789abcdef", log=QueryLog(shop.root, share=1.0, days=30)) as server:
        server.search("banana split", k=2)
        server.client.post("/search", json={"queries": ["zebra", "x\u2028y"], "k": 1, "mode": "bm25"})
        server.search("not the live one", release=1)
    assert read_query_log(shop.root / SERVED_QUERIES, 10) == ["banana split", "zebra", "x\u2028y"]
    (path,) = (shop.root / SERVED_QUERIES).iterdir()
    first = lines(path)[0]
    assert set(first) == {"at", "query", "mode", "release", "hits", "first"}
    assert "0123456789abcdef" not in path.read_text()
    assert "127.0.0.1" not in path.read_text()


def test_a_share_of_queries_is_kept(tmp_path):
    log = QueryLog(tmp_path, share=0.25, days=30)
    for i in range(2000):
        assert log.note(f"query {i}")
    assert 380 < len(read_query_log(tmp_path / SERVED_QUERIES, 5000)) < 620


def test_old_days_are_deleted_and_a_day_is_bounded(tmp_path):
    now = [datetime(2026, 3, 1, tzinfo=UTC)]
    log = QueryLog(tmp_path, share=1.0, days=2, day_bytes=200, now=lambda: now[0])
    folder = tmp_path / SERVED_QUERIES
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("not ours")
    for day in range(5):
        assert log.note(f"day {day}")
        now[0] += timedelta(days=1)
    assert sorted(p.name for p in folder.iterdir()) == [
        "2026-03-03.jsonl", "2026-03-04.jsonl", "2026-03-05.jsonl", "notes.txt",
    ]  # fmt: skip
    written = [log.note("one more query of the sixth day") for _ in range(9)]
    assert written[0]
    assert not written[-1]
    assert (folder / "2026-03-06.jsonl").stat().st_size < 400


def test_a_full_disk_fails_no_search(shop, caplog):
    (shop.root / "feedback").write_text("")
    with LiveServer(shop.root, log=QueryLog(shop.root, share=1.0, days=30)) as server:
        assert server.search("banana").status_code == 200
        assert "embedlib_unlogged_queries_total 1.0" in server.client.get("/metrics").text
    assert "could not be logged" in caplog.text


def test_lines_of_several_writers_do_not_mix(tmp_path):
    path = tmp_path / "log.jsonl"

    def write(name):
        for i in range(200):
            append_record(path, {"name": name, "i": i, "text": name * 3000})

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lines(path)) == 800

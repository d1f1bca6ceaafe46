"""Bad documents, a table: each is a typed error, or a counted and listed skip, as ``on_bad_row`` says."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from records import json_of

from embedlib.contracts import Corpus
from embedlib.errors import DataError

GOOD = '{"_id": "a", "text": "a good document"}\n'
GOOD_CSV = "id,title,text\na,Title,a good document\n"


class Case(NamedTuple):
    """A file, the words its error must hold, where it must point, and what is left when bad rows are skipped."""

    name: str
    content: bytes | str | Callable[[Path], None]
    words: str
    where: str = ""
    kept: int | None = None
    rejected: int = 1
    file: str = "corpus.jsonl"
    source: Mapping[str, Any] = MappingProxyType({})


def _parquet(**columns: Any) -> Callable[[Path], None]:
    return lambda path: pq.write_table(pa.table(columns), path)


def _truncated_parquet(path: Path) -> None:
    pq.write_table(pa.table({"id": ["a"] * 1000, "text": ["words"] * 1000}), path)
    path.write_bytes(path.read_bytes()[:-40])


def _broken_page(path: Path) -> None:
    texts = [f"text number {i} with words of its own" for i in range(20_000)]
    table = pa.table({"id": [str(i) for i in range(20_000)], "text": texts})
    pq.write_table(table, path, row_group_size=1000, compression="zstd", use_dictionary=False)
    data = bytearray(path.read_bytes())
    late = len(data) * 3 // 4
    data[late : late + 2000] = b"\xff" * 2000
    path.write_bytes(bytes(data))


LATIN = GOOD.encode() + b'{"_id": "b", "text": "caf\xe9"}\n'
ROWS = [
    Case("not json", GOOD + "{oops\n", "not JSON", "corpus.jsonl:2", 1),
    Case("a list", GOOD + "[1, 2]\n", "a JSON list", "corpus.jsonl:2", 1),
    Case("a number", GOOD + "7\n", "a JSON int", "corpus.jsonl:2", 1),
    Case("deep json", GOOD + "[" * 100_000 + "\n", "nested too deeply", "corpus.jsonl:2", 1),
    Case("huge integer", GOOD + '{"_id": ' + "9" * 5000 + ', "text": "x"}\n', "not JSON", "corpus.jsonl:2", 1),
    Case("raw control character", GOOD + '{"_id": "b", "text": "a\x01b"}\n', "not JSON", "corpus.jsonl:2", 1),
    Case("raw NUL", GOOD + '{"_id": "b", "text": "a\x00b"}\n', "not JSON", "corpus.jsonl:2", 1),
    Case("no text", GOOD + '{"_id": "b"}\n', "'text' is not a text but missing", "corpus.jsonl:2", 1),
    Case("text is null", GOOD + '{"_id": "b", "text": null}\n', "missing", "corpus.jsonl:2", 1),
    Case("text is a number", GOOD + '{"_id": "b", "text": 5}\n', "not a text but int", "corpus.jsonl:2", 1),
    Case("text is a list", GOOD + '{"_id": "b", "text": ["x"]}\n', "not a text but list", "corpus.jsonl:2", 1),
    Case("title is an object", GOOD + '{"_id": "b", "title": {}, "text": "x"}\n', "'title'", "corpus.jsonl:2", 1),
    Case("no id", GOOD + '{"text": "x"}\n', "'_id' is no identifier but missing", "corpus.jsonl:2", 1),
    Case("empty id", GOOD + '{"_id": " ", "text": "x"}\n', "no identifier", "corpus.jsonl:2", 1),
    Case("id is a float", GOOD + '{"_id": 1.5, "text": "x"}\n', "no identifier but float", "corpus.jsonl:2", 1),
    Case("id is true", GOOD + '{"_id": true, "text": "x"}\n', "no identifier but bool", "corpus.jsonl:2", 1),
    Case("id twice", GOOD + '{"_id": "a", "text": "other"}\n', "duplicate id 'a'", "corpus.jsonl:2", 1),
    Case("id and text twice", GOOD + GOOD, "duplicate id 'a' (first at corpus.jsonl:1)", "corpus.jsonl:2", 1),
    Case("latin-1", LATIN, "not utf-8: byte 0xe9", "corpus.jsonl:2", 1),
    Case("10 MB line", GOOD + '{"_id": "b", "text": "' + "x" * 10_000_000 + '"}\n' + '{"_id": "c", "text": "more"}\n',
         "a line of more than 4 MB", "corpus.jsonl:2", 2),
    Case("no first text", '{"_id": "a", "words": "x"}\n' + GOOD, "no column that holds the text", "jsonl:1", 1),
    Case("lone surrogate id", GOOD + '{"_id": "\\ud800", "text": "x"}\n', "not Unicode", "corpus.jsonl:2", 1),
    Case("gzip cut short", gzip.compress((GOOD + '{"_id": "b", "text": "' + "y" * 9000 + '"}\n').encode())[:-20],
         "breaks off", "corpus.jsonl.gz:", 1, file="corpus.jsonl.gz"),
    Case("not gzip", GOOD, "breaks off", "corpus.jsonl.gz:1", None, file="corpus.jsonl.gz"),
    Case("utf-16 cut short", b"\xff\xfe" + GOOD.encode("utf-16-le") + b"x", "not utf-16", "corpus.jsonl:", 1),
    Case("csv: row too short", GOOD_CSV + "b,only two\n", "2 values in a row for 3 columns", "c.csv:3", 1, file="c.csv"),
    Case("csv: row too long", GOOD_CSV + "b,t,x,y,z\n", "5 values in a row", "c.csv:3", 1, file="c.csv"),
    Case("csv: open quote", GOOD_CSV + 'b,t,"never closed\nc,t,more\n', "not CSV", "c.csv:3", 1, file="c.csv",
         rejected=2),
    Case("csv: quote inside", GOOD_CSV + 'b,t,"x"y\n', "not CSV", "c.csv:3", 1, file="c.csv"),
    Case("csv: empty id", GOOD_CSV + ",t,text\n", "no identifier but empty", "c.csv:3", 1, file="c.csv"),
    Case("csv: latin-1", GOOD_CSV.encode() + b"b,t,caf\xe9\n", "not utf-8", "c.csv:3", 1, file="c.csv"),
    Case("parquet: null text", _parquet(id=["a", "b"], text=["x", None]), "not a text but missing", "row 2", 1,
         file="c.parquet"),
    Case("parquet: endless text", _parquet(id=["a", "b"], text=["x", "y" * 4_000_001]), "a text of 4000001 characters", "row 2", 1,
         file="c.parquet"),
    Case("parquet: null id", _parquet(id=["a", None], text=["x", "y"]), "no identifier", "row 2", 1, file="c.parquet"),
    Case("parquet: float id", _parquet(id=[1.0, 2.5], text=["x", "y"]), "no identifier but float", "row 1", None,
         file="c.parquet", rejected=2),
]  # fmt: skip

ALWAYS = [
    Case("empty file", "", "no document with text"),
    Case("blank lines", "\n\n  \n", "no document with text"),
    Case("only empty texts", '{"_id": "a", "text": " "}\n', "no document with text"),
    Case("unknown suffix", "x", "cannot tell what 'corpus.xyz' is", file="corpus.xyz"),
    Case("csv: empty", "", "no header", ":1", file="c.csv"),
    Case("csv: a column twice", "id,text,text\n", "the header names 'text' twice", ":1", file="c.csv"),
    Case("csv: no text column", "id,words\na,b\n", "no column that holds the text", file="c.csv"),
    Case("csv: semicolon, told comma", "id;text\na;b\n", "no column that holds the text", file="c.csv",
         source={"type": "csv", "delimiter": ","}),
    Case("named column missing", GOOD_CSV, "no column 'body'", file="c.csv", source={"fields": {"text": "body"}}),
    Case("unknown encoding", GOOD, "unknown encoding 'klingon'", source={"encoding": "klingon"}),
    Case("parquet: not parquet", "PAR1 no", "is no Parquet file", file="c.parquet"),
    Case("parquet: cut short", _truncated_parquet, "is no Parquet file", file="c.parquet"),
    Case("parquet: text of numbers", _parquet(id=["a"], text=[1]), "column 'text' holds no text", file="c.parquet"),
    Case("parquet: text of lists", _parquet(id=["a"], text=[["x"]]), "column 'text' holds no text", file="c.parquet"),
    Case("parquet: no text column", _parquet(id=["a"], x=["y"]), "no column that holds the text", file="c.parquet"),
    Case("parquet: no rows", _parquet(id=pa.array([], pa.string()), text=pa.array([], pa.string())),
         "no document with text", file="c.parquet"),
]  # fmt: skip


def _write(case: Case, folder: Path) -> dict[str, Any]:
    path = folder / case.file
    if callable(case.content):
        case.content(path)
    else:
        path.write_bytes(case.content if isinstance(case.content, bytes) else case.content.encode())
    return {"type": "auto", "path": path, **case.source}


@pytest.mark.parametrize("case", ROWS, ids=lambda case: case.name)
def test_bad_row_ends_the_run(case: Case, tmp_path: Path, ingest) -> None:
    with pytest.raises(DataError) as error:
        ingest(_write(case, tmp_path))
    assert case.words in str(error.value)
    assert case.where in error.value.where
    assert "on_bad_row=skip" in error.value.remedy


@pytest.mark.parametrize("case", ROWS, ids=lambda case: case.name)
def test_bad_row_is_skipped_counted_and_listed(case: Case, tmp_path: Path, ingest, rows) -> None:
    source = _write(case, tmp_path)
    options = {"on_bad_row": "skip", "limits": {"rejected_share": 1.0}}
    if case.kept is None:
        with pytest.raises(DataError, match="no document with text") as error:
            ingest(source, **options)
        assert f"{case.rejected} rejected" in error.value.found
        return
    corpus = ingest(source, **options)
    assert len(Corpus(corpus.path)) == case.kept
    listed = rows(corpus, "rejected.jsonl")
    assert len(listed) == case.rejected == json_of(corpus, "profile.json")["rejected"]
    assert case.words in listed[0]["reason"]


@pytest.mark.parametrize("on_bad_row", ["fail", "skip"])
@pytest.mark.parametrize("case", ALWAYS, ids=lambda case: case.name)
def test_bad_source_always_ends_the_run(case: Case, on_bad_row: str, tmp_path: Path, ingest) -> None:
    with pytest.raises(DataError) as error:
        ingest(_write(case, tmp_path), on_bad_row=on_bad_row)
    assert case.words in str(error.value)
    assert case.where in error.value.where


def test_a_damaged_parquet_page_loses_nothing_silently(tmp_path: Path, ingest, rows) -> None:
    _broken_page(tmp_path / "c.parquet")
    with pytest.raises(DataError, match="breaks off"):
        ingest(tmp_path / "c.parquet")
    corpus = ingest(tmp_path / "c.parquet", on_bad_row="skip")
    assert 0 < len(Corpus(corpus.path)) < 20_000
    assert "breaks off" in rows(corpus, "rejected.jsonl")[-1]["reason"]


@pytest.mark.parametrize("source_type", ["auto", "jsonl", "csv", "parquet", "folder", "beir"])
def test_nothing_at_the_path(source_type: str, tmp_path: Path, ingest) -> None:
    with pytest.raises(DataError, match=r"no (file|folder) 'absent") as error:
        ingest({"type": source_type, "path": tmp_path / "absent.jsonl"})
    assert str(tmp_path) in error.value.where


def test_a_folder_where_a_file_is_expected(tmp_path: Path, ingest) -> None:
    with pytest.raises(DataError) as error:
        ingest({"type": "jsonl", "path": tmp_path})
    assert error.value.found == "a folder"


def test_a_failed_ingest_leaves_no_half_artifact(tmp_path: Path, store, ingest) -> None:
    with pytest.raises(DataError):
        ingest(_write(ROWS[0], tmp_path))
    assert list(store.artifacts()) == []
    assert not [p for p in (store.artifacts_dir / "corpus").iterdir() if p.is_dir()]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + GOOD.encode(),
        GOOD.encode("utf-16"),
        GOOD.encode("utf-32"),
        GOOD.replace("\n", "\r\n").encode(),
    ],
    ids=["utf-8 mark", "utf-16 mark", "utf-32 mark", "windows line ends"],
)
def test_marks_and_line_ends_are_no_mistakes(content: bytes, tmp_path: Path, ingest) -> None:
    (tmp_path / "corpus.jsonl").write_bytes(content)
    (document,) = Corpus(ingest(tmp_path / "corpus.jsonl").path).documents()
    assert (document.doc_id, document.text) == ("a", "a good document")


def test_escaped_nul_and_controls_are_cleaned_away(jsonl, ingest) -> None:
    path = jsonl(
        {"_id": "a", "text": "a\x00b\x07c\ufeff"},
        {"_id": "b", "text": "\x00\x01"},
        {"_id": "c", "text": "ok"},
    )
    corpus = ingest(path)
    assert [d.text for d in Corpus(corpus.path).documents()] == ["abc", "ok"]
    assert json_of(corpus, "profile.json")["empty"] == 1
    assert "'b' has no text" in corpus.file("rejected.jsonl").read_text()


def test_too_many_rejected_rows_end_the_run(tmp_path: Path, ingest) -> None:
    (tmp_path / "c.jsonl").write_text(GOOD + "{\n" * 3)
    with pytest.raises(DataError, match="rejected_share is above its limit") as error:
        ingest(tmp_path / "c.jsonl", on_bad_row="skip")
    assert error.value.found == "75.0%"


def _folder(files: dict[str, bytes | str], root: Path) -> Path:
    for name, content in files.items():
        path = root / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root / "docs"


FOLDERS = [
    ("latin-1 text", {"b.txt": b"caf\xe9"}, "not utf-8: byte 0xe9"),
    ("binary text", {"b.txt": b"ab\x00\x00cd"}, "holds NUL bytes"),
    ("binary html", {"b.html": b"<p>\x00\x00</p>"}, "holds NUL bytes"),
    ("large file", {"b.txt": "word " * 1_000_000}, "a file of 5.0 MB"),
    ("html with too many elements", {"b.html": "<p><b>x</b></p>" * 110_000}, "more than 200000 elements"),
]


@pytest.mark.parametrize(
    ("files", "words"), [case[1:] for case in FOLDERS], ids=[case[0] for case in FOLDERS]
)
def test_bad_files_in_a_folder(
    files: dict[str, bytes | str], words: str, tmp_path: Path, ingest, rows
) -> None:
    folder = _folder({"a.txt": "a good file", **files}, tmp_path)
    with pytest.raises(DataError) as error:
        ingest(folder, on_bad_row="fail")
    assert words in str(error.value)
    assert error.value.where.endswith(next(iter(files)))
    corpus = ingest(folder)
    assert Corpus(corpus.path).ids == ["a.txt"]
    assert [words in row["reason"] for row in rows(corpus, "rejected.jsonl")] == [True]


def test_links_that_go_round_in_a_folder(tmp_path: Path, ingest, rows) -> None:
    folder = _folder({"a.txt": "a good file", "sub/b.txt": "another good file"}, tmp_path)
    (folder / "sub" / "up").symlink_to(folder)
    (folder / "nothing.txt").symlink_to(folder / "gone.txt")
    with pytest.raises(DataError, match="a link to"):
        ingest(folder, on_bad_row="fail")
    corpus = ingest(folder)
    assert Corpus(corpus.path).ids == ["a.txt", "sub/b.txt"]
    reasons = {row["where"]: row["reason"] for row in rows(corpus, "rejected.jsonl")}
    assert reasons == {
        "nothing.txt": "a link to nothing, or no plain file",
        "sub/up": "a link to a folder that is read already",
    }


def test_deeply_nested_html_is_read(tmp_path: Path, ingest) -> None:
    folder = _folder({"a.html": "<div>" * 20_000 + "deep words" + "</div>" * 20_000, "b.txt": "x"}, tmp_path)
    corpus = ingest(folder, on_bad_row="skip")
    profile = json_of(corpus, "profile.json")
    assert profile["documents"] + profile["rejected"] + profile["empty"] == 2


def test_an_unreadable_file_name(tmp_path: Path, ingest, rows) -> None:
    folder = _folder({"a.txt": "a good file"}, tmp_path)
    Path(os.fsdecode(bytes(folder) + b"/bad\xff.txt")).write_text("x")
    corpus = ingest(folder, on_bad_row="skip")
    assert rows(corpus, "rejected.jsonl")[0]["reason"] == "a file name that is not Unicode (a lone surrogate)"


def test_an_empty_folder_and_one_without_texts(tmp_path: Path, ingest) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    with pytest.raises(DataError, match="no document with text"):
        ingest(folder)
    (folder / "image.png").write_bytes(b"\x89PNG")
    (folder / ".hidden.txt").write_text("not read")
    with pytest.raises(DataError, match="no document with text") as error:
        ingest(folder)
    assert "0 rows read" in error.value.found


def test_json_numbers_that_are_none(jsonl, tmp_path: Path, ingest) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text('{"_id": "a", "text": "x", "score": NaN}\n')
    corpus = ingest({"type": "jsonl", "path": path, "fields": {"metadata": ["score"]}})
    (document,) = Corpus(corpus.path).documents()
    assert json.loads(document.metadata) == {"score": "nan"}


@pytest.mark.parametrize("stage", ["ingest", "split"])
def test_a_file_that_may_not_be_read(stage: str, tmp_path: Path, ingest, split, monkeypatch) -> None:
    from embedlib.stages import sources
    from embedlib.stages import split as split_stage

    (tmp_path / "c.jsonl").write_text(GOOD + '{"_id": "b", "text": "more"}\n')
    corpus = ingest(tmp_path / "c.jsonl")

    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(sources if stage == "ingest" else split_stage, "file_sha256", refuse)
    with pytest.raises(DataError, match="a file cannot be read") as error:
        if stage == "ingest":
            ingest(tmp_path / "c.jsonl")
        else:
            split(corpus, {"type": "log", "path": tmp_path / "c.jsonl"})
    assert error.value.where == str(tmp_path / "c.jsonl")
    assert error.value.found == "Permission denied"


def test_progress_is_told(tmp_path: Path, store) -> None:
    from embedlib.config.data import Ingest
    from embedlib.stages.base import run_stage
    from embedlib.stages.ingest import STAGE

    lines = "".join(f'{{"_id": "{i}", "text": "text number {i}"}}\n' for i in range(2500))
    (tmp_path / "c.jsonl").write_text(lines)
    told: list[tuple[int, int | None, str]] = []
    config = Ingest(source={"type": "jsonl", "path": tmp_path / "c.jsonl"})
    run_stage(store, STAGE, config, progress=lambda done, total, what: told.append((done, total, what)))
    assert (2000, None, "documents read") in told
    assert {what for _, _, what in told} == {"documents read", "near-duplicates sought", "tokens counted"}

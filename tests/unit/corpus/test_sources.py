"""What each source reads, and that its digest changes when its documents do."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from records import json_of

from embedlib.config.data import Ingest
from embedlib.contracts import Corpus, Document
from embedlib.corpus.docstrings import docstring_documents, source_files, standard_library
from embedlib.corpus.records import Record
from embedlib.errors import DataError
from embedlib.stages.sources import source_digest

SOURCE = '''
"""A module about walking home.

It has a body that is long enough to be kept as a document of its own, so it is."""

class Walk:
    """A walk that leads somewhere.

    The body of the class says where the walk leads, and how long it takes to get there on foot."""

    def _private(self):
        """Not part of any interface.

        However long this body is, nobody is meant to read it, and so it is left out of the corpus."""

    async def turn(self):
        """Turn around and go back.

        Returns the time at which the walk is over, counted from the moment at which it was begun."""

def repeat():
    """Turn around and go back.

    Another function with the same summary as one before gives no document, since titles must differ."""

def short():
    """No body here."""

import nothing_of_this_is_ever_imported
'''


def _documents(ref) -> dict[str, Document]:
    return {d.doc_id: d for d in Corpus(ref.path).documents()}


def test_jsonl_by_usual_names_and_by_given_ones(jsonl, ingest) -> None:
    usual = ingest(jsonl({"id": 7, "name": "Seven", "body": "the seventh"}, {"id": "b", "body": "no name"}))
    assert _documents(usual)["7"][:3] == ("7", "Seven", "the seventh")
    assert _documents(usual)["b"].title == ""
    fields = {"doc_id": "key", "title": "head", "text": "main", "group_id": "part", "metadata": ["year"]}
    path = jsonl(
        {"key": "a", "head": "H", "main": "m", "part": "p1", "year": 1999, "text": "no"}, name="x.ndjson.gz"
    )
    path.write_bytes(gzip.compress(path.read_bytes()))
    (document,) = _documents(ingest({"type": "auto", "path": path, "fields": fields})).values()
    assert (document.doc_id, document.title, document.text, document.group_id) == ("a", "H", "m", "p1")
    assert json.loads(document.metadata) == {"year": 1999}
    assert document.source == "x.ndjson.gz"


def test_ids_come_from_the_content_where_there_are_none(jsonl, ingest) -> None:
    one, two = {"text": "one text"}, {"text": "another text"}
    forwards = _documents(ingest(jsonl(one, two, one, name="a.jsonl")))
    backwards = _documents(ingest(jsonl(two, one, name="b.jsonl")))
    assert list(forwards) == list(backwards)
    assert len(forwards) == 2


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_by_any_delimiter_with_quotes_that_span_lines(delimiter: str, tmp_path: Path, ingest) -> None:
    quoted = f'"two{delimiter}and\nlines, ""quoted"""'
    lines = [["id", "title", "text"], ["a", "T", quoted], ["b", "", "plain"]]
    (tmp_path / "c.csv").write_text("\n".join(delimiter.join(line) for line in lines))
    found = _documents(ingest(tmp_path / "c.csv"))
    assert found["a"].text == f'two{delimiter}and\nlines, "quoted"'
    assert found["b"].text == "plain"


def test_csv_in_another_encoding(tmp_path: Path, ingest) -> None:
    (tmp_path / "c.csv").write_bytes("id,text\na,café\n".encode("cp1252"))
    found = _documents(ingest({"type": "csv", "path": tmp_path / "c.csv", "encoding": "cp1252"}))
    assert found["a"].text == "café"


def test_parquet_with_dictionary_columns_and_integer_ids(tmp_path: Path, ingest) -> None:
    texts = pa.array(["x y", "z w", "x y"]).dictionary_encode()
    pq.write_table(pa.table({"id": [3, 1, 2], "text": texts}), tmp_path / "c.parquet")
    found = _documents(ingest({"type": "parquet", "path": tmp_path / "c.parquet"}, duplicates="keep"))
    assert {doc_id: d.text for doc_id, d in found.items()} == {"1": "z w", "2": "x y", "3": "x y"}


def test_a_folder_of_text_markdown_and_html(tmp_path: Path, ingest) -> None:
    folder = tmp_path / "docs"
    (folder / "deep").mkdir(parents=True)
    (folder / "plain-note.txt").write_text("# not a heading\nin plain text")
    (folder / "deep" / "guide.md").write_text(
        "---\ndraft: true\n---\n# The *guide*\n\nIntro with [a link](http://x) and `code`.\n\n"
        "## First step\n\n- do this\n- then that\n\n```sh\n# comment\nrun\n```\n"
    )
    (folder / "page.html").write_bytes(
        "<html><head><title>A page – Site</title><style>p{}</style></head><body><nav>menu</nav>"
        "<h1>A page</h1><p>Some <b>bold</b>&nbsp;words &amp; café<script>x()</script> end.</p>"
        "<h2>Part</h2><ul><li>one</li><li>two</li></ul></body></html>".encode()
    )
    found = _documents(ingest(folder))
    assert list(found) == ["deep/guide.md", "page.html", "plain-note.txt"]
    assert found["plain-note.txt"][1:3] == ("plain note", "# not a heading\nin plain text")
    assert found["deep/guide.md"][1:3] == (
        "The guide",
        "Intro with a link and code.\n\nFirst step\n\ndo this\n\nthen that\n\n# comment\nrun",
    )
    assert found["page.html"][1:3] == ("A page", "Some bold words & café end.\n\nPart\n\none\n\ntwo")


def test_languages_are_counted_where_a_text_tells(tmp_path: Path, ingest) -> None:
    texts = {
        "de": "Die Dokumente liegen in einem Ordner und werden jede Nacht neu gelesen.",
        "ja": "文書はフォルダーに保存され、毎晩もう一度読み込まれます。検索できるのは新しい索引ができてからです。"
        "古い索引は一週間残ります。",
        "short": "ls -la",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.txt").write_text(text)
    assert json_of(ingest(tmp_path), "profile.json")["languages"] == {"de": 1, "ja": 1}


@pytest.mark.parametrize("encoding", ["utf-8", "iso-8859-1", "windows-1251"])
def test_html_says_its_own_encoding(encoding: str, tmp_path: Path, ingest) -> None:
    words = "Привет" if encoding == "windows-1251" else "café"
    html = f'<html><head><meta charset="{encoding}"></head><body><p>{words}</p></body></html>'
    (tmp_path / "a.html").write_bytes(html.encode(encoding))
    assert _documents(ingest(tmp_path))["a.html"].text == words


def test_html_without_a_declaration_is_utf8_where_it_can_be(tmp_path: Path, ingest) -> None:
    (tmp_path / "a.html").write_bytes("<p>café</p>".encode())
    (tmp_path / "b.html").write_bytes("<p>café</p>".encode("latin-1"))
    assert {d.text for d in _documents(ingest(tmp_path)).values()} == {"café"}


def test_a_beir_folder_keeps_duplicates_that_labels_may_name(jsonl, ingest) -> None:
    folder = jsonl({"_id": "a", "title": "t", "text": "x"}, {"_id": "b", "title": "t", "text": "x"}).parent
    corpus = ingest(folder)
    assert list(_documents(corpus)) == ["a", "b"]
    assert json_of(corpus, "profile.json")["duplicates"] == 1
    assert list(_documents(ingest(folder, duplicates="drop"))) == ["a"]


def test_docstrings_of_public_names_with_a_summary_and_a_body(tmp_path: Path) -> None:
    (tmp_path / "walks.py").write_text(SOURCE)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_walks.py").write_text(SOURCE)
    (tmp_path / "_hidden.py").write_text(SOURCE)
    found = [item for item in docstring_documents([tmp_path]) if isinstance(item, Record)]
    name = f"{tmp_path.name}.walks"
    assert [(r.doc_id, r.title) for r in found] == [
        (name, "A module about walking home."),
        (f"{name}.Walk", "A walk that leads somewhere."),
        (f"{name}.Walk.turn", "Turn around and go back."),
    ]
    assert found[2].text.startswith("Returns the time")


def test_broken_python_is_listed_not_hidden(tmp_path: Path, ingest, rows) -> None:
    (tmp_path / "good.py").write_text(SOURCE)
    (tmp_path / "bad.py").write_text("def (:\n")
    source = {"type": "docstrings", "packages": [str(tmp_path)]}
    with pytest.raises(DataError, match="not Python"):
        ingest(source)
    assert rows(ingest(source, on_bad_row="skip"), "rejected.jsonl")[0]["where"] == "bad.py"


def test_the_standard_library_gives_real_documents_and_imports_nothing() -> None:
    before = set(sys.modules)
    found = [item for item in docstring_documents([standard_library()]) if isinstance(item, Record)]
    read = {r.doc_id.split(".")[0] for r in found}
    assert {"turtle", "smtplib", "mailbox"} <= read
    assert not {"turtle", "antigravity", "this", "mailbox"} & (set(sys.modules) - before)
    assert 1500 < len(found) < 2500
    assert len({r.title.casefold() for r in found}) == len(found)
    assert not [p for p in source_files(standard_library()) if "test" in p.parts]


def test_packages_by_name_and_an_unknown_one(ingest) -> None:
    found = _documents(ingest({"type": "docstrings", "packages": ["pydantic"]}))
    assert "pydantic.main.BaseModel.model_dump" in found
    with pytest.raises(DataError, match="no package 'no_such_package'"):
        ingest({"type": "docstrings", "packages": ["no_such_package"]})


def test_a_hugging_face_data_set_from_a_folder(tmp_path: Path, ingest) -> None:
    import datasets

    columns = {
        "docid": ["a", "b", "c"],
        "title": ["T", None, "U"],
        "text": ["x", "y", "z"],
        "year": [1, 2, 3],
    }
    data = datasets.Dataset.from_dict(columns)
    datasets.DatasetDict({"corpus": data, "train": data.select([0])}).save_to_disk(tmp_path / "saved")
    source = {
        "type": "huggingface",
        "path": tmp_path / "saved",
        "split": "corpus",
        "fields": {"metadata": ["year"]},
    }
    found = _documents(ingest(source))
    assert {k: (d.title, d.text, d.metadata) for k, d in found.items()} == {
        "a": ("T", "x", '{"year": 1}'),
        "b": ("", "y", '{"year": 2}'),
        "c": ("U", "z", '{"year": 3}'),
    }
    with pytest.raises(DataError, match="no split 'absent'"):
        ingest({**source, "split": "absent"})


def test_a_hugging_face_data_set_that_cannot_be_had(tmp_path: Path, ingest) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="the data set cannot be loaded"):
        ingest({"type": "huggingface", "path": tmp_path / "empty"})


def test_a_source_that_did_not_change_is_not_read_again(jsonl, ingest) -> None:
    path = jsonl({"_id": "a", "text": "x"}, {"_id": "b", "text": "y"}, name="c.jsonl")
    first = ingest(path)
    moved = path.parent / "elsewhere" / "c.jsonl"
    moved.parent.mkdir()
    moved.write_bytes(path.read_bytes())
    assert ingest(moved).fingerprint == first.fingerprint
    path.write_text(path.read_text() + '{"_id": "c", "text": "z"}\n')
    assert ingest(path).fingerprint != first.fingerprint


def test_the_digest_of_a_folder_counts_names_and_content(tmp_path: Path) -> None:
    def digest() -> str:
        return source_digest(Ingest(source={"type": "folder", "path": tmp_path}).source)

    (tmp_path / "a.txt").write_text("x")
    first = digest()
    (tmp_path / "image.png").write_bytes(b"x")
    assert digest() == first
    (tmp_path / "a.txt").rename(tmp_path / "b.txt")
    assert digest() != first

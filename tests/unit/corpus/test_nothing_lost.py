"""What a folder holds is read or named: deep Markdown, links that lead elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from records import json_of

from embedlib.contracts import Corpus
from embedlib.corpus.markup import markdown_text
from embedlib.corpus.records import Unreadable
from embedlib.errors import DataError


def _lists(depth: int) -> str:
    return "\n".join("  " * i + f"- item {i}" for i in range(depth))


def _quotes(depth: int) -> str:
    return "\n".join("> " * (i + 1) + f"item {i}\n" + "> " * (i + 1) for i in range(depth))


@pytest.mark.parametrize("nested", [_lists, _quotes])
@pytest.mark.parametrize("depth", [1, 9, 10, 11, 20, 28, 29, 30, 31, 57, 58, 59, 60, 61, 300])
def test_nested_markdown_is_read_whole_or_refused(nested, depth: int) -> None:
    try:
        _, text = markdown_text(nested(depth))
    except Unreadable:
        assert depth > 25
    else:
        assert all(f"item {i}" in text.split("\n\n") for i in range(depth))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "docs" / "inner").mkdir(parents=True)
    (tmp_path / "docs" / "inner" / "a.txt").write_text("a document of the folder")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "passwd.txt").write_text("root:x:0:0")
    return tmp_path / "docs"


@pytest.mark.parametrize(
    ("name", "target"), [("passwd.txt", "elsewhere/passwd.txt"), ("linked", "elsewhere")]
)
def test_a_link_out_of_the_folder_is_refused(name: str, target: str, folder: Path, ingest, rows) -> None:
    (folder / name).symlink_to(folder.parent / target)
    with pytest.raises(DataError, match="a link out of the folder"):
        ingest(folder, on_bad_row="fail")
    corpus = ingest(folder, on_bad_row="skip")
    assert Corpus(corpus.path).ids == ["inner/a.txt"]
    assert [row["where"] for row in rows(corpus, "rejected.jsonl")] == [name]


def test_links_within_the_folder_are_followed_and_the_folder_may_be_one(folder: Path, ingest) -> None:
    (folder / "b.txt").symlink_to(folder / "inner" / "a.txt")
    (folder.parent / "named").symlink_to(folder)
    assert Corpus(ingest(folder.parent / "named").path).ids == ["b.txt", "inner/a.txt"]


def test_an_empty_file_is_named_and_is_no_document(folder: Path, ingest) -> None:
    (folder / "empty.txt").write_text("")
    (folder / "blank.md").write_text(" \n")
    for name in ("b.txt", "c.txt"):
        (folder / name).write_text(f"the text of {name}")
    corpus = ingest(folder)
    assert Corpus(corpus.path).ids == ["b.txt", "c.txt", "inner/a.txt"]
    named = json_of(corpus, "profile.json")["left_out"]["named"]
    assert {(n["where"], n["reason"]) for n in named} == {
        ("empty.txt", "empty: it holds nothing"),
        ("blank.md", "empty: it holds nothing"),
    }

"""Text and Markdown files."""

from __future__ import annotations

from collections.abc import Iterator

from embedlib.corpus.markup import markdown_text
from embedlib.corpus.readers.file import File
from embedlib.corpus.records import Item, Record, Unreadable
from embedlib.corpus.textfiles import decode


def read_text_file(file: File) -> Iterator[Item]:
    """The whole text as one document; its title is the file's name."""
    yield Record(file.name, file.spoken, _text(file), file.name)


def read_markdown(file: File) -> Iterator[Item]:
    """One document; its title is the first top heading, else the file's name."""
    title, text = markdown_text(_text(file))
    yield Record(file.name, title or file.spoken, text, file.name)


def _text(file: File) -> str:
    text = decode(file.data, encoding=file.encoding)
    if "\0" in text[:4096]:
        raise Unreadable("not a text file: it holds NUL bytes")
    return text

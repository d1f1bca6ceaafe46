"""Text and Markdown files."""

from __future__ import annotations

from collections.abc import Iterator

from embedlib.corpus.markup import markdown_text
from embedlib.corpus.readers.file import File
from embedlib.corpus.records import Item, Record, Rejected
from embedlib.corpus.textfiles import decode


def read_text_file(file: File) -> Iterator[Item]:
    """The whole text as one document; its title is the file's name."""
    text = _text(file)
    yield text if isinstance(text, Rejected) else Record(file.name, file.spoken, text, file.name)


def read_markdown(file: File) -> Iterator[Item]:
    """One document; its title is the first top heading, else the file's name."""
    text = _text(file)
    parsed = text if isinstance(text, Rejected) else markdown_text(text, file.name)
    if isinstance(parsed, Rejected):
        yield parsed
    else:
        yield Record(file.name, parsed[0] or file.spoken, parsed[1], file.name)


def _text(file: File) -> str | Rejected:
    text = decode(file.data, file.name, encoding=file.encoding)
    if not isinstance(text, Rejected) and "\0" in text[:4096]:
        return Rejected(file.name, "not a text file: it holds NUL bytes")
    return text

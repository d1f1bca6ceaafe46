"""Documents from a folder of text, Markdown and HTML files; the relative path is the id."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from embedlib.corpus.markup import html_text, markdown_text
from embedlib.corpus.records import Item, Record, Rejected, is_unicode
from embedlib.corpus.textfiles import read_bytes, read_text
from embedlib.errors import DataError

MARKDOWN, HTML = frozenset({".md", ".markdown"}), frozenset({".html", ".htm"})


def require_folder(path: Path) -> Path:
    """The path, if a folder is there.

    Raises:
        DataError: There is none.
    """
    if path.is_dir():
        return path
    raise DataError(
        f"no folder {path.name!r}",
        where=str(path),
        expected="a folder that can be read",
        found="a file" if path.is_file() else "nothing",
        remedy="check the path; relative paths start at the working directory",
    )


def folder_files(root: Path, suffixes: Sequence[str]) -> Iterator[Path | Rejected]:
    """Files below ``root`` with one of ``suffixes``, sorted; hidden ones are left alone.

    Links to folders are followed once: a link back to a folder that is being read, or was read, is rejected.
    """
    wanted = {suffix.lower() for suffix in suffixes}
    yield from _walk(require_folder(root), root, wanted, {os.path.realpath(root)})


def _walk(folder: Path, root: Path, wanted: set[str], seen: set[str]) -> Iterator[Path | Rejected]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        yield Rejected(_name(folder, root), f"cannot be read: {error.strerror or error}")
        return
    for entry in entries:
        path = folder / entry.name
        if entry.name.startswith("."):
            continue
        if path.is_dir():
            real = os.path.realpath(path)
            if real in seen:
                yield Rejected(_name(path, root), "a link to a folder that is read already")
                continue
            seen.add(real)
            yield from _walk(path, root, wanted, seen)
        elif path.suffix.lower() in wanted:
            yield (
                path if path.is_file() else Rejected(_name(path, root), "a link to nothing, or no plain file")
            )


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def read_folder(root: Path, suffixes: Sequence[str], *, encoding: str, max_bytes: int) -> Iterator[Item]:
    """A document a file: Markdown and HTML as text, headings marked (see ``markup``).

    The title is the Markdown's first top heading, the HTML's title, or else the file's name.

    Raises:
        DataError: The folder is not there.
    """
    for path in folder_files(root, suffixes):
        if isinstance(path, Rejected):
            yield path
        else:
            yield _document(path, _name(path, root), encoding, max_bytes)


def _document(path: Path, name: str, encoding: str, max_bytes: int) -> Item:
    if not is_unicode(name):
        return Rejected(ascii(name), "a file name that is not UTF-8")
    if path.suffix.lower() in HTML:
        data = read_bytes(path, name, max_bytes=max_bytes)
        parsed = data if isinstance(data, Rejected) else html_text(data, name)
    else:
        text = read_text(path, name, encoding=encoding, max_bytes=max_bytes)
        if isinstance(text, Rejected):
            return text
        if "\0" in text[:4096]:
            return Rejected(name, "not a text file: it holds NUL bytes")
        parsed = markdown_text(text, name) if path.suffix.lower() in MARKDOWN else ("", text)
    if isinstance(parsed, Rejected):
        return parsed
    title, text = parsed
    return Record(name, title or _spoken(path.stem), text, name)


def _spoken(stem: str) -> str:
    """A file's name as words.

    >>> _spoken("getting-started_guide")
    'getting started guide'
    """
    return " ".join(stem.replace("_", " ").replace("-", " ").split())

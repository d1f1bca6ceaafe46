"""Which files can be read, by suffix, and what that takes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from embedlib.corpus.readers import archives, mail, pdf, plain, sheets, slides, web, word
from embedlib.corpus.readers.file import File
from embedlib.corpus.records import Item
from embedlib.fingerprint import package_version

INSTALL = 'pip install "embedlib[office]"'


class Format(NamedTuple):
    """How files of one kind are read.

    Args:
        read: The documents of a file.
        libraries: Distributions that read it; their versions count as code.
        optional: Whether it is read without them too, if less well.
        apart: Whether it is read in a process of its own, bounded in memory and time.
        large: Bytes above which it is, where others are not.
    """

    read: Callable[[File], Iterator[Item]]
    libraries: tuple[str, ...] = ()
    optional: bool = False
    apart: bool = True
    large: int = sys.maxsize


_TEXT = Format(plain.read_text_file, apart=False)
#: Parsed, Markdown takes up to 140 times its size.
_MARKDOWN = Format(plain.read_markdown, ("markdown-it-py",), apart=False, large=4_000_000)
_HTML = Format(web.read_html, ("lxml", "trafilatura"), optional=True)
_SHEETS = Format(sheets.read_sheets, ("openpyxl",))

FORMATS = {
    ".txt": _TEXT,
    ".text": _TEXT,
    ".rst": _TEXT,
    ".md": _MARKDOWN,
    ".markdown": _MARKDOWN,
    ".html": _HTML,
    ".htm": _HTML,
    ".pdf": Format(pdf.read_pdf, ("pypdfium2",)),
    ".docx": Format(word.read_word, ("mammoth", "lxml")),
    ".pptx": Format(slides.read_slides, ("python-pptx",)),
    ".xlsx": _SHEETS,
    ".xlsm": _SHEETS,
    ".eml": Format(mail.read_message, ("lxml", "trafilatura"), optional=True),
    ".mbox": Format(mail.read_mailbox, ("lxml", "trafilatura"), optional=True),
    ".zip": Format(archives.read_zip),
}

_UNREAD = {
    ".doc": "no reader: an old Word format; save it as .docx",
    ".xls": "no reader: an old Excel format; save it as .xlsx",
    ".ppt": "no reader: an old PowerPoint format; save it as .pptx",
    ".msg": "no reader: an Outlook message; export it as .eml",
}
_TABLES = frozenset((".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".gz"))


def why_unread(suffix: str) -> str:
    """Why files with a suffix are left alone."""
    if suffix in FORMATS:
        return "not asked for: ingest.source.suffixes does not name it"
    if suffix in _TABLES:
        return "a table: give it alone as --data, or as ingest.source.path"
    return _UNREAD.get(suffix, f"no reader for {suffix or 'files without a suffix'}")


def versions(suffixes: Iterable[str]) -> dict[str, str]:
    """The libraries that read such files with their versions, ``absent`` for those that are not installed."""
    names = {name for suffix in suffixes for name in _libraries(suffix)}
    return {name: package_version(name) for name in sorted(names)}


def missing(suffix: str) -> list[str]:
    """Libraries without which files with a suffix cannot be read, and which are not installed."""
    form = FORMATS.get(suffix)
    if form is None or form.optional:
        return []
    return [name for name in form.libraries if package_version(name) == "absent"]


def _libraries(suffix: str) -> Iterable[str]:
    """What reads a suffix; an archive or a mail may hold any of them."""
    if suffix in (".zip", ".eml", ".mbox"):
        return [name for form in FORMATS.values() for name in form.libraries]
    return FORMATS[suffix].libraries if suffix in FORMATS else ()

"""Word documents, by mammoth: their styles tell headings, lists and tables apart."""

from __future__ import annotations

import io
from collections.abc import Iterator

from embedlib.corpus.markup import html_lines, parse_html, with_heading
from embedlib.corpus.readers.file import File
from embedlib.corpus.readers.packages import core_title, require_package
from embedlib.corpus.records import Item, Record, Unreadable

_STYLES = """
p[style-name='Title'] => h1:fresh
p[style-name='Subtitle'] => h2:fresh
"""


def read_word(file: File) -> Iterator[Item]:
    """One document with its headings; headers, footers, comments and pictures are left out."""
    import mammoth

    require_package(file, "word/document.xml")
    ignored = mammoth.images.img_element(lambda image: {})
    result = mammoth.convert_to_html(io.BytesIO(file.data), style_map=_STYLES, convert_image=ignored)
    page = parse_html(f"<html><body>{result.value}</body></html>".encode())
    title, text = with_heading("", html_lines(page))
    title = title or core_title(file)
    if not text.strip() and not title:
        raise Unreadable("empty: it holds no text")
    yield Record(file.name, title or file.spoken, text, file.name)

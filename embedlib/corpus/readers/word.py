"""Word documents, by mammoth: their styles tell headings, lists and tables apart."""

from __future__ import annotations

import io
from collections.abc import Iterator

from embedlib.corpus.markup import html_text
from embedlib.corpus.readers.file import File
from embedlib.corpus.readers.packages import broken_package, core_title
from embedlib.corpus.records import Item, Record, Rejected

_STYLES = """
p[style-name='Title'] => h1:fresh
p[style-name='Subtitle'] => h2:fresh
"""


def read_word(file: File) -> Iterator[Item]:
    """One document with its headings; headers, footers, comments and pictures are left out."""
    import mammoth

    if broken := broken_package(file, "word/document.xml"):
        yield broken
        return
    ignored = mammoth.images.img_element(lambda image: {})
    result = mammoth.convert_to_html(io.BytesIO(file.data), style_map=_STYLES, convert_image=ignored)
    parsed = html_text(f"<html><body>{result.value}</body></html>".encode(), file.name)
    if isinstance(parsed, Rejected):
        yield parsed
        return
    title, text = parsed
    title = title or core_title(file)
    if not text.strip() and not title:
        yield Rejected(file.name, "empty: it holds no text")
    else:
        yield Record(file.name, title or file.spoken, text, file.name)

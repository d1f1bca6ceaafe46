"""HTML pages: the main content, without menus, banners and footers.

trafilatura (Barbaresi 2021, https://aclanthology.org/2021.acl-demo.15) finds where the main content
begins and ends; what lies between is read whole, for it also drops code, tables and captions that
people search for. Where it finds little, or is not installed, the page is read from end to end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from embedlib.corpus.markup import MARK, html_lines, parse_html, unmarked, with_heading
from embedlib.corpus.readers.file import File
from embedlib.corpus.records import Item, Record, Unreadable

#: Less than this share of a page, or so few characters, is not taken for its main content.
MIN_SHARE, MIN_CHARACTERS = 0.25, 200
#: Lines of so many words are content too, before what was found and after it, where banners and footers are.
HEAD_WORDS, TAIL_WORDS = 12, 30
#: Elements above which a page is read without looking for its main content.
MAX_ELEMENTS = 50_000
#: A line is found in the main content by its first characters; shorter ones say nothing of the place.
ANCHOR, MIN_ANCHOR = 60, 20


def read_html(file: File) -> Iterator[Item]:
    """The page as one document."""
    title, text = read_page(file.data)
    if not title and not text.strip():
        raise Unreadable("empty: no text to read")
    yield Record(file.name, title or file.spoken, text, file.name)


def read_page(source: bytes, *, declared: str | None = None) -> tuple[str, str]:
    """Title and main content of a page.

    ``declared`` is its encoding where that is known from elsewhere.

    Raises:
        Unreadable: It is damaged or too large.
    """
    root = parse_html(source, declared=declared)
    if root is None:
        return "", ""
    title = " ".join((root.findtext(".//title") or "").split())
    return with_heading(title, main_lines(html_lines(root), root))


def main_lines(lines: Sequence[str], root: Any) -> list[str]:
    """The lines from where the main content begins to where it ends.

    The headings of ``lines`` are marked; trafilatura may change ``root``, the page.
    """
    main = _main_text(root)
    whole = sum(len(_squeezed(line)) for line in lines)
    if len(main) < max(MIN_CHARACTERS, MIN_SHARE * whole):
        return list(lines)
    found = [
        place
        for place, line in enumerate(lines)
        if len(key := _squeezed(line)) >= MIN_ANCHOR and key[:ANCHOR] in main
    ]
    if not found:
        return list(lines)
    first = next((i for i in range(found[0]) if lines[i].startswith(f"{MARK} ")), found[0])
    while first and lines[first - 1].startswith(MARK):
        first -= 1
    last = found[-1]
    first = min([first, *(i for i in range(first) if len(lines[i].split()) >= HEAD_WORDS)])
    last = max([last, *(i for i in range(last, len(lines)) if len(lines[i].split()) >= TAIL_WORDS)])
    return list(lines[first : last + 1])


def _main_text(root: Any) -> str:
    """What trafilatura takes for the main content, without white space."""
    try:
        from trafilatura import bare_extraction
    except ImportError:
        return ""
    if sum(1 for _ in root.iter()) > MAX_ELEMENTS:
        return ""
    found: Any = bare_extraction(root, favor_recall=True, include_comments=False, with_metadata=False)
    return "" if found is None or found.body is None else _squeezed("".join(found.body.itertext()))


def _squeezed(text: str) -> str:
    return "".join(unmarked(text).split())

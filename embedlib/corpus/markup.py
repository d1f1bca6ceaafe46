"""Markdown and HTML as plain text whose headings are lines that start with ``MARK``.

Pages begin with a line of their own, see ``page_mark``.
"""

from __future__ import annotations

import re
from typing import Any

from lxml import etree, html
from markdown_it import MarkdownIt

from embedlib.corpus.records import Unreadable
from embedlib.errors import first_line

#: A character of the private use area that opens heading lines until the document is cut.
MARK = "\ue000"
#: A character of the private use area that opens the line before a page.
PAGE = "\ue001"
_MARKED = re.compile(f"^{PAGE}\\d+\\n*|^{MARK}+ ?", flags=re.MULTILINE)
_PAGE_LINE = re.compile(f"{PAGE}(\\d{{1,7}})")

_BLOCKS = frozenset(
    {"address", "article", "aside", "blockquote", "body", "br", "caption", "dd", "details", "div", "dl"}
    | {"dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6"}
    | {"header", "hr", "li", "main", "nav", "ol", "option", "p", "pre", "section", "summary", "table"}
    | {"tbody", "td", "tfoot", "th", "thead", "title", "tr", "ul"}
)
_UNREAD = frozenset(
    {"head", "script", "style", "noscript", "template", "svg", "math", "iframe", "object", "nav", "form"}
    | {"button", "select"}
)
_UNREAD_ROLES = frozenset(("navigation", "banner", "contentinfo", "search", "dialog", "alertdialog"))
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_FRONT_MATTER = re.compile(r"\A---\s*\n.*?\n---\s*\n", flags=re.DOTALL)
MAX_HTML_NODES = 200_000

#: Levels of quotes and list items; markdown-it leaves out without a word what lies deeper.
MAX_MARKDOWN_NESTING = 60

_MARKDOWN = MarkdownIt("commonmark", {"maxNesting": MAX_MARKDOWN_NESTING}).enable("table")


def unmarked(text: str) -> str:
    """``text`` with plain lines for headings, and none for pages."""
    return _MARKED.sub("", text) if MARK in text or PAGE in text else text


def page_mark(number: int) -> str:
    """The line before a page.

    >>> page_of(page_mark(12)), page_of("12")
    (12, None)
    """
    return f"{PAGE}{number}"


def page_of(line: str) -> int | None:
    """The number of the page that begins after a line, if it is a page's mark."""
    found = _PAGE_LINE.fullmatch(line)
    return int(found[1]) if found else None


def markdown_text(source: str) -> tuple[str, str]:
    """Title (first heading of level one) and text of a Markdown document.

    Raises:
        Unreadable: It is nested too deeply.
    """
    try:
        tokens = _MARKDOWN.parse(_FRONT_MATTER.sub("", source))
    except RecursionError:
        raise Unreadable("Markdown that is nested too deeply") from None
    if any(token.level >= MAX_MARKDOWN_NESTING - 1 for token in tokens):
        raise Unreadable("Markdown that is nested too deeply")
    title, lines = "", list[str]()
    level = 0
    for token in tokens:
        if token.type == "heading_open":
            level = int(token.tag[1:])
        elif token.type == "inline":
            text = _inline(token)
            if level == 1 and not title:
                title = text
            elif text:
                lines.append(f"{MARK * level} {text}" if level else text)
            level = 0
        elif token.type in ("fence", "code_block"):
            lines.append(token.content.rstrip())
    return title, "\n\n".join(lines)


def _inline(token: Any) -> str:
    parts = []
    for child in token.children or []:
        if child.type in ("text", "code_inline", "image"):
            parts.append(child.content)
        elif child.type in ("softbreak", "hardbreak"):
            parts.append(" ")
    return " ".join("".join(parts).split())


def parse_html(source: bytes, *, declared: str | None = None) -> Any:
    """The root element; None of an empty document.

    The encoding is ``declared``, else the one that the document declares. Entities expand to characters only.

    Raises:
        Unreadable: It is damaged, or has more than ``MAX_HTML_NODES`` elements.
    """
    if b"\0" in source[:4096] and not source.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Unreadable("not an HTML file: it holds NUL bytes")
    if not source.strip():
        return None
    encoding = declared or _declared(source)
    parser = html.HTMLParser(huge_tree=False, no_network=True, remove_comments=True, encoding=encoding)
    try:
        root = html.document_fromstring(source, parser=parser)
    except (etree.LxmlError, LookupError, UnicodeDecodeError, AssertionError) as error:
        what = first_line(error)
        raise Unreadable(f"damaged: HTML that cannot be read: {what}") from error
    if len(source) > 100_000 and sum(1 for _ in root.iter()) > MAX_HTML_NODES:
        raise Unreadable(f"too large: HTML of more than {MAX_HTML_NODES} elements")
    return root


def _declared(source: bytes) -> str | None:
    """UTF-8 unless a mark or a declaration says otherwise (lxml itself would assume Latin-1)."""
    if source.startswith((b"\xff\xfe", b"\xfe\xff")):
        return None
    found = re.search(rb"charset\s*=\s*[\"']?\s*([\w.:-]+)", source[:2048], flags=re.IGNORECASE)
    if found:
        return None
    try:
        source.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return "utf-8"


def html_lines(root: Any) -> list[str]:
    """Text in reading order, a block a line, walked without recursion (nesting may be deep)."""
    lines, current = [""], 0
    skipping: Any = None
    for event, element in etree.iterwalk(root, events=("start", "end")):
        tag = element.tag if isinstance(element.tag, str) else ""
        if skipping is not None:
            if event == "end" and element is skipping:
                skipping = None
                lines[-1] += element.tail or ""
            continue
        if event == "start" and (tag in _UNREAD or not tag or _aside(element)):
            skipping = element
            continue
        if tag in _BLOCKS and lines[-1]:
            lines.append("")
        if event == "start":
            current = _HEADINGS.get(tag, 0)
            lines[-1] += (MARK * current + " " if current else "") + (element.text or "")
        else:
            lines[-1] += element.tail or ""
    return [text for line in lines if (text := " ".join(line.split())).strip(MARK + " ")]


def _aside(element: Any) -> bool:
    """Whether an element says that it is not read with the page."""
    hidden = element.get("hidden") is not None or element.get("aria-hidden") == "true"
    return hidden or element.get("role") in _UNREAD_ROLES


def with_heading(title: str, lines: list[str]) -> tuple[str, str]:
    """Title, or the first top heading in its place, and the rest."""
    for position, line in enumerate(lines):
        if line.startswith(MARK + " "):
            heading = line[2:]
            if not title or heading.casefold() in title.casefold():
                return heading, "\n\n".join(lines[:position] + lines[position + 1 :])
            break
    return title, "\n\n".join(lines)

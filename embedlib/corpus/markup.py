"""Markdown and HTML as plain text whose headings are lines that start with ``MARK``."""

from __future__ import annotations

import re
from typing import Any

from lxml import etree, html
from markdown_it import MarkdownIt

from embedlib.corpus.records import Rejected

#: A character of the private use area that opens heading lines until the document is cut.
MARK = "\ue000"
_MARKED = re.compile(f"^{MARK}+ ?", flags=re.MULTILINE)

_BLOCKS = frozenset(
    (
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "br",
        "caption",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hr",
        "li",
        "main",
        "nav",
        "ol",
        "option",
        "p",
        "pre",
        "section",
        "summary",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "title",
        "tr",
        "ul",
    )
)
_UNREAD = frozenset(
    (
        "head",
        "script",
        "style",
        "noscript",
        "template",
        "svg",
        "math",
        "iframe",
        "object",
        "nav",
        "form",
        "button",
        "select",
    )
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_FRONT_MATTER = re.compile(r"\A---\s*\n.*?\n---\s*\n", flags=re.DOTALL)
MAX_HTML_NODES = 200_000

_MARKDOWN = MarkdownIt("commonmark").enable("table")


def unmarked(text: str) -> str:
    """``text`` with plain lines for headings."""
    return _MARKED.sub("", text) if MARK in text else text


def markdown_text(source: str, name: str) -> tuple[str, str] | Rejected:
    """Title (first heading of level one) and text of a Markdown document.

    Args:
        source: The document.
        name: What to call it in messages.
    """
    try:
        tokens = _MARKDOWN.parse(_FRONT_MATTER.sub("", source))
    except RecursionError:
        return Rejected(name, "Markdown that is nested too deeply")
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
        if child.type in ("text", "code_inline"):
            parts.append(child.content)
        elif child.type in ("softbreak", "hardbreak"):
            parts.append(" ")
        elif child.type == "image":
            parts.append(child.content)
    return " ".join("".join(parts).split())


def html_text(source: bytes, name: str) -> tuple[str, str] | Rejected:
    """Title and readable text of an HTML document; navigation, scripts and forms are left out.

    The encoding is the one that the document declares. Entities expand to characters only, and a
    document of more than ``MAX_HTML_NODES`` elements is refused.

    Args:
        source: The document's bytes.
        name: What to call it in messages.
    """
    if b"\0" in source[:4096] and not source.startswith((b"\xff\xfe", b"\xfe\xff")):
        return Rejected(name, "not an HTML file: it holds NUL bytes")
    if not source.strip():
        return "", ""
    parser = html.HTMLParser(
        huge_tree=False, no_network=True, remove_comments=True, encoding=_declared(source)
    )
    try:
        root = html.document_fromstring(source, parser=parser)
    except (
        etree.ParserError,
        etree.XMLSyntaxError,
        LookupError,
        UnicodeDecodeError,
        AssertionError,
    ) as error:
        return Rejected(
            name, f"HTML that cannot be read: {str(error).splitlines()[0] if str(error) else error!r}"
        )
    if len(source) > 100_000 and sum(1 for _ in root.iter()) > MAX_HTML_NODES:
        return Rejected(name, f"HTML of more than {MAX_HTML_NODES} elements")
    title = " ".join((root.findtext(".//title") or "").split())
    return _with_heading(title, _lines(root))


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


def _lines(root: Any) -> list[str]:
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
        if event == "start" and (tag in _UNREAD or not tag):
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


def _with_heading(title: str, lines: list[str]) -> tuple[str, str]:
    """Title, or the first top heading in its place, and the rest."""
    for position, line in enumerate(lines):
        if line.startswith(MARK + " "):
            heading = line[2:]
            if not title or heading.casefold() in title.casefold():
                return heading, "\n\n".join(lines[:position] + lines[position + 1 :])
            break
    return title, "\n\n".join(lines)

"""Title, heading and body of a document, apart from each other.

The body is what is left when nobody may see the title: pairs made from a title, and derived test
queries, are trained on and scored against bodies.
"""

from __future__ import annotations

import json
import re

from embedlib.contracts import Document

_WORD = re.compile(r"\w+")
_PUNCTUATION_AFTER = " \t\r\n.:;,–—-=#*_|"


def title_of(document: Document) -> str:
    """The document's title, or an empty string."""
    return document.title.strip()


def heading_of(document: Document) -> str:
    """The heading above a chunk (chunked Markdown, HTML), or an empty string."""
    return str(json.loads(document.metadata).get("heading", "")) if document.metadata != "{}" else ""


def body_of(document: Document) -> str:
    """The text without the title, also where the text opens by repeating it (Cranfield's texts do)."""
    return without_opening(document.text, document.title)


def section_of(document: Document) -> str:
    """The text of a chunk without the heading it opens with."""
    return without_opening(document.text, heading_of(document))


def without_opening(text: str, opening: str) -> str:
    """``text`` without ``opening`` and the punctuation that follows, if it starts with that.

    Only words count: case, white space and punctuation may differ.

    >>> without_opening("Wing in a slip-stream . An experimental study", "wing in  a slip stream")
    'An experimental study'
    >>> without_opening("Winged", "wing")
    'Winged'
    """
    end = 0
    following = _WORD.finditer(text)
    for word in _WORD.findall(opening):
        match = next(following, None)
        if match is None or match[0].casefold() != word.casefold():
            return text.strip()
        end = match.end()
    return text[end:].lstrip(_PUNCTUATION_AFTER).rstrip() if end else text.strip()


def bare(text: str) -> str:
    """The words alone, lower case, one space between.

    >>> bare("Mach 3 .5 – Blunted *cone*")
    'mach 3 5 blunted cone'
    """
    return " ".join(_WORD.findall(text.casefold()))

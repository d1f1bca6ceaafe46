"""The text of a training positive: the document without the query that was taken out of it."""

from __future__ import annotations

import re

from embedlib.contracts import Document, document_text
from embedlib.corpus.titles import body_of, section_of, without_opening


def positive_text(document: Document, query: str, origin: str) -> str:
    """What training shows of a pair's document.

    A title, heading, sentence or crop stands word for word in its document; left there, the pair
    would teach string matching. Other origins see the document as it is.

    Returns:
        Never empty: where nothing is left without the query, the whole document.
    """
    whole = document_text(document.title, document.text)
    if origin == "title":
        return body_of(document) or whole
    if origin == "heading":
        return document_text(document.title, section_of(document)) if section_of(document) else whole
    if origin in ("sentence", "crop"):
        rest = without_passage(document.text, query)
        return document_text(without_opening(document.title, query), rest) if rest else whole
    return whole


def without_passage(text: str, passage: str) -> str:
    """``text`` without the first occurrence of ``passage``; white space does not count.

    >>> without_passage("One. Two  words. Three.", "Two words.")
    'One. Three.'
    """
    parts = passage.split()
    if not parts:
        return text.strip()
    match = re.search(r"\s+".join(re.escape(part) for part in parts), text)
    if match is None:
        return text.strip()
    return f"{text[: match.start()].rstrip()} {text[match.end() :].lstrip()}".strip()

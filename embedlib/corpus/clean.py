"""Text as the corpus keeps it: Unicode NFC, no control characters, no stray white space."""

from __future__ import annotations

import re
import unicodedata

# C0 and C1 controls but tab and newline, surrogates, non-characters, byte-order marks, soft hyphens.
_CONTROL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u2028-\u202e\u2060\ufdd0-\ufdef\ufeff\ufffe\uffff\ud800-\udfff]"
)
_LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_TRAILING = re.compile(r"[ \t]+\n")
_BLANK_LINES = re.compile(r"\n{3,}")


def clean(text: str) -> str:
    r"""``text`` in NFC, line ends as newlines, without control and zero-width characters.

    Joiners (U+200C, U+200D) stay: scripts and emoji need them. Runs of blank lines become one.

    >>> clean("cafe\u0301\r\n\x00 ok ")
    'café\n ok'
    """
    if text.isascii() and text.isprintable():
        return text.strip()
    if not text.isascii() and not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
    text = _CONTROL.sub("", _LINE_ENDS.sub("\n", text))
    if "\n" in text:
        text = _BLANK_LINES.sub("\n\n", _TRAILING.sub("\n", text))
    return text.strip()


def clean_title(title: str) -> str:
    """A title on one line."""
    return " ".join(clean(title).split()) if title else ""


def id_fault(identifier: str) -> str:
    r"""What makes an identifier unusable, or an empty string.

    Control, zero-width and direction characters are refused rather than taken out: ids that differ in them
    alone would become one, and tools that end a text at NUL take them for one already.

    >>> id_fault("chapter 1/a.md"), id_fault("a\x00b")
    ('', 'holds the control character U+0000')
    """
    if any("\ud800" <= character <= "\udfff" for character in identifier):
        return "is not Unicode (a lone surrogate)"
    found = _CONTROL.search(identifier) or _LINE_ENDS.search(identifier) or re.search("[\t\n]", identifier)
    return f"holds the control character U+{ord(found[0][0]):04X}" if found else ""

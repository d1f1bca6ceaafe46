"""The part of a document that shows why it was found."""

from __future__ import annotations

import re

#: Characters of a document that are looked through.
SCANNED = 20_000
_WORD = re.compile(r"\w+")


def snippet(text: str, query: str, width: int = 240) -> str:
    """The window of about ``width`` characters that holds the most distinct query words.

    >>> snippet("One two three. Four five six.", "five", width=16)
    '… Four five six.'
    >>> snippet("short", "nothing in common")
    'short'
    """
    text = " ".join(text[:SCANNED].split())
    if len(text) <= width:
        return text
    terms = {word for word in _WORD.findall(query[:SCANNED].lower()) if len(word) > 1}
    places = [(m.start(), m.group().lower()) for m in _WORD.finditer(text) if m.group().lower() in terms]
    start = _best_start(places, width)
    start = max(0, min(start, len(text) - width))
    return _cut(text, start, width)


def _best_start(places: list[tuple[int, str]], width: int) -> int:
    """Where the window with most distinct words begins, a little before its first word."""
    best, best_count, right = 0, 0, 0
    inside: dict[str, int] = {}
    for left, (start, word) in enumerate(places):
        while right < len(places) and places[right][0] < start + width:
            inside[places[right][1]] = inside.get(places[right][1], 0) + 1
            right += 1
        if len(inside) > best_count:
            best, best_count = places[left][0], len(inside)
        inside[word] -= 1
        if not inside[word]:
            del inside[word]
    return max(0, best - width // 8)


def _cut(text: str, start: int, width: int) -> str:
    """Cut at word boundaries, with an ellipsis where something is left out."""
    end = start + width
    if start:
        start = text.find(" ", start) + 1 or start
    if end < len(text):
        end = text.rfind(" ", start, end)
        end = end if end > start else start + width
    head, tail = ("… " if start else ""), (" …" if end < len(text) else "")
    return f"{head}{text[start:end].strip()}{tail}"

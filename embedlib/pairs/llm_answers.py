"""Reading queries out of what a language model wrote, however well it kept to the format."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

_FENCE = re.compile(r"```[a-zA-Z]*\s*\n?(.*?)(?:```|\Z)", re.DOTALL)
_THOUGHT = re.compile(r"\A.*</think>|\A\s*<think>.*", re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_NAMES = ("query", "question", "text", "q")
_LISTS = ("queries", "questions", "items", "results")
LONGEST = 400  # characters of a query; longer ones are explanations, not queries


class Parsed(NamedTuple):
    """Queries found, and whether the answer was whole JSON of the kind asked for."""

    queries: list[str]
    well_formed: bool


def parse_queries(content: str, most: int) -> Parsed:
    """Queries in a model's answer, at most ``most`` of them, each once.

    Whole JSON is read as such (a list of strings or of objects, or an object with such a list). What a
    reasoning model thinks first (``<think>``) is no part of the answer.
    From an answer that was cut short or is otherwise broken, every complete string is kept.

    >>> parse_queries('["how to bake bread", "bread recipe"]', 5)
    Parsed(queries=['how to bake bread', 'bread recipe'], well_formed=True)
    >>> parse_queries('["how to bake bread", "bread rec', 5)
    Parsed(queries=['how to bake bread'], well_formed=False)
    """
    text = _unfenced(_THOUGHT.sub("", content))
    whole = _whole(text)
    if whole is not None:
        return Parsed(_clean(whole, most), True)
    return Parsed(_clean(_salvage(text), most), False)


def _unfenced(content: str) -> str:
    """Without Markdown's code fence, unless the backticks stand inside the JSON."""
    fenced = _FENCE.search(content)
    first = min((i for i in (content.find("["), content.find("{")) if i >= 0), default=-1)
    return (fenced.group(1) if fenced and fenced.start() < first else content).strip()


def _whole(text: str) -> list[str] | None:
    for candidate in (text, _bracketed(text)):
        try:
            found = _strings(json.loads(candidate))
        except (ValueError, RecursionError):
            continue
        if found:
            return found
    return None


def _bracketed(text: str) -> str:
    """From the first bracket to the last: drops words before and after the JSON."""
    start, end = text.find("["), text.rfind("]")
    return text[start : end + 1] if 0 <= start < end else ""


def _strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        for name in _LISTS:
            if isinstance(value.get(name), list):
                return _strings(value[name])
        return []
    if not isinstance(value, list):
        return []
    texts = (_named(item) if isinstance(item, dict) else item for item in value)
    return [text for text in texts if isinstance(text, str)]


def _named(item: dict[str, Any]) -> str | None:
    return next((item[name] for name in _NAMES if isinstance(item.get(name), str)), None)


def _salvage(text: str) -> list[str]:
    start = text.find("[")
    if start < 0:
        return []
    found = []
    for match in _STRING.finditer(text, start):
        if text[match.end() :].lstrip().startswith(":"):
            continue  # an object's key
        try:
            found.append(json.loads(match.group(), strict=False))
        except ValueError:
            continue
    return found


def _clean(queries: Iterable[str], most: int) -> list[str]:
    kept: dict[str, str] = {}
    for query in queries:
        text = " ".join(query.encode("utf-8", "ignore").decode().split())
        if 0 < len(text) <= LONGEST and any(c.isalnum() for c in text):
            kept.setdefault(text.casefold(), text)
    return list(kept.values())[:most]

"""Sentences of a text, and which of them would make a query."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import numpy as np

from embedlib.retrieval.tokens import words

_BOUNDARY = re.compile(r"(?<=[.!?])[\"')\]]*\s+|(?<=[。！？])|\n\s*\n|\n(?=\s*[-*•])")

#: A query sentence has between so many words; the rest of its document at least ``MIN_REST``.
MIN_WORDS, MAX_WORDS, MIN_REST = 5, 40, 8


def split_sentences(text: str) -> Iterator[str]:
    """Sentences as they stand in the text, stripped, empty ones left out.

    >>> list(split_sentences("It works. Does it? Yes, v1.2 does."))
    ['It works.', 'Does it?', 'Yes, v1.2 does.']
    """
    for part in _BOUNDARY.split(text):
        if part and (sentence := part.strip()):
            yield sentence


def informative_sentences(text: str, idf: Callable[[str], float], count: int) -> list[str]:
    """The ``count`` sentences that say most, best first; none where no rest would remain.

    A sentence's weight is the sum of its distinct terms' idf over the square root of their number:
    specific words count, and length alone does not.

    Args:
        text: The document's text.
        idf: Inverse document frequency of a term.
        count: How many at most.
    """
    total = len(text.split())
    found: dict[str, float] = {}
    for sentence in split_sentences(text):
        length = len(sentence.split())
        if MIN_WORDS <= length <= MAX_WORDS and total - length >= MIN_REST:
            terms = set(words(sentence))
            found[sentence] = sum(map(idf, terms)) / np.sqrt(max(len(terms), 1))
    return sorted(found, key=lambda s: (-found[s], text.index(s)))[:count]


def random_crop(text: str, rng: np.random.Generator) -> str:
    """A run of a third to two thirds of a text's words (independent crops, Contriever, arXiv 2112.09118).

    Returns:
        An empty string where the text has fewer than six words.
    """
    parts = text.split()
    if len(parts) < 6:
        return ""
    size = int(rng.integers(len(parts) // 3, 2 * len(parts) // 3 + 1))
    size = min(max(size, 3), MAX_WORDS)
    start = int(rng.integers(0, len(parts) - size + 1))
    return " ".join(parts[start : start + size])

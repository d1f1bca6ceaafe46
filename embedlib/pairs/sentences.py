"""Sentences of a text, and which of them would make a query."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

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


def random_sentences(text: str, count: int, rng: np.random.Generator) -> list[str]:
    """``count`` sentences at random: the wordiest or rarest ones are addresses, formulas and boilerplate.

    Args:
        text: The document's text.
        count: Maximum number; none where no rest would remain.
        rng: Chooses.
    """
    total = len(text.split())
    lengths = {sentence: len(sentence.split()) for sentence in split_sentences(text)}
    found = [s for s, n in lengths.items() if MIN_WORDS <= n <= MAX_WORDS and total - n >= MIN_REST]
    return [found[i] for i in rng.permutation(len(found))[:count]]


#: Words of a crop: about those of a search query.
CROP_WORDS = (3, 10)


def random_crop(text: str, rng: np.random.Generator) -> str:
    """A short run of a text's words, at most half of them (crops as in Contriever, arXiv 2112.09118, but
    of a search query's length).

    Returns:
        An empty string where the text has fewer than six words.
    """
    parts = text.split()
    if len(parts) < 6:
        return ""
    size = int(rng.integers(CROP_WORDS[0], min(CROP_WORDS[1], len(parts) // 2) + 1))
    start = int(rng.integers(0, len(parts) - size + 1))
    return " ".join(parts[start : start + size])

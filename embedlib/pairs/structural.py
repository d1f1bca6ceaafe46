"""Pairs that documents give by their own structure, read in one pass over the corpus."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator

import numpy as np

from embedlib.contracts import CandidatePair, Document, document_text
from embedlib.corpus.titles import body_of, heading_of, section_of, title_of
from embedlib.retrieval.tokens import words

Idf = Callable[[str], float]

#: Origins of the label-free mix when nothing else is asked for. Adjacent passages and passages of
#: the same document make poor queries; keyword bags were measured to do harm (cranfield -8 points).
LABEL_FREE = ("title", "heading", "sentence", "crop")
#: Passages of a group that are remembered as partners for the next.
GROUP_WINDOW = 16
#: Terms of a keyword query.
KEYWORDS = 5


def structural_pairs(
    documents: Iterable[Document],
    origins: Collection[str],
    idf: Idf,
    rng: np.random.Generator,
    *,
    sentences: int = 1,
) -> Iterator[CandidatePair]:
    """Pairs of one document after the other; a group's passages follow each other in reading order.

    ``origins`` are some of title, heading, sentence, crop, keywords, adjacent and same_document; a document
    gives ``sentences`` queries of the third.
    """
    group: deque[Document] = deque(maxlen=GROUP_WINDOW)
    for document in documents:
        for origin in origins:
            yield from _of_origin(origin, document, sentences, idf, rng)
        if group and group[-1].group_id != document.group_id:
            group.clear()
        if "adjacent" in origins and group:
            yield _pair("adjacent", document, _opening(group[-1].text))
        if "same_document" in origins and len(group) > 1:
            other = group[int(rng.integers(len(group) - 1))]  # not the one just before: that is adjacent
            yield _pair("same_document", document, _opening(other.text))
        group.append(document)


def _of_origin(
    origin: str, document: Document, sentences: int, idf: Idf, rng: np.random.Generator
) -> Iterator[CandidatePair]:
    if origin == "title" and _enough(body_of(document)) and _is_query(title := title_of(document)):
        yield _pair(origin, document, title)
    elif origin == "heading" and _enough(section_of(document)) and _is_query(heading := heading_of(document)):
        title = title_of(document)
        yield _pair(origin, document, heading if title in ("", heading) else f"{title}: {heading}")
    elif origin == "sentence":
        for number, sentence in enumerate(random_sentences(document.text, sentences, rng)):
            yield _pair(origin, document, sentence, number)
    elif origin == "crop" and (crop := _crop(document, rng)):
        yield _pair(origin, document, crop)
    elif origin == "keywords" and (query := keyword_query(document.text, idf)):
        yield _pair(origin, document, query)


def _crop(document: Document, rng: np.random.Generator) -> str:
    return random_crop(document.text, rng) or random_crop(document_text(document.title, document.text), rng)


def keyword_query(text: str, idf: Idf, count: int = KEYWORDS) -> str:
    """The terms of highest tf * idf in a document, in the order in which they first stand there.

    Within one document BM25's length factor is the same for every term, and tf / (tf + c) keeps
    the order of tf; c is taken as k1 = 1.2, the weight in a document of average length.
    """
    frequency = Counter(words(text))
    weight = {term: idf(term) * tf / (tf + 1.2) for term, tf in frequency.items()}
    best = set(sorted(weight, key=lambda t: (-weight[t], t))[:count])
    return " ".join(term for term in frequency if term in best) if len(best) == count else ""


def _pair(origin: str, document: Document, query: str, number: int = 0) -> CandidatePair:
    return CandidatePair(
        f"{origin}:{document.doc_id}:{number}", " ".join(query.split()), document.doc_id, origin
    )


def _enough(text: str) -> bool:
    return len(text.split()) >= MIN_REST


def _is_query(text: str) -> bool:
    return bool(words(text)) and len(text.split()) <= MAX_WORDS


def _opening(text: str) -> str:
    return " ".join(text.split()[:MAX_WORDS])


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

    None is taken where no rest would remain.
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

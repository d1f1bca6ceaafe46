"""Pairs that documents give by their own structure, read in one pass over the corpus."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from embedlib.contracts import Document, document_text
from embedlib.corpus.titles import body_of, heading_of, section_of, title_of
from embedlib.pairs.candidate import CandidatePair
from embedlib.pairs.sentences import MAX_WORDS, MIN_REST, random_crop, random_sentences
from embedlib.retrieval.tokens import words

Idf = Callable[[str], float]

#: Passages of a group that are remembered as partners for the next.
GROUP_WINDOW = 16


@dataclass(frozen=True)
class StructuralSettings:
    """How structural pairs are made.

    Args:
        origins: Which of title, heading, sentence, crop, keywords, adjacent, same_document.
        sentences: Sentences of a document used as queries.
        keyword_terms: Terms of a keyword query.
    """

    origins: Collection[str]
    sentences: int = 1
    keyword_terms: int = 5


def structural_pairs(
    documents: Iterable[Document], settings: StructuralSettings, idf: Idf, rng: np.random.Generator
) -> Iterator[CandidatePair]:
    """Pairs of one document after the other.

    Args:
        documents: In row order; a group's passages follow each other in reading order.
        settings: Which pairs, and how many.
        idf: Inverse document frequency of a term in the corpus.
        rng: Chooses sentences, crops and passages.
    """
    group: deque[Document] = deque(maxlen=GROUP_WINDOW)
    for document in documents:
        yield from _own_pairs(document, settings, idf, rng)
        if group and group[-1].group_id != document.group_id:
            group.clear()
        if "adjacent" in settings.origins and group:
            yield _pair("adjacent", document, _opening(group[-1].text))
        if "same_document" in settings.origins and len(group) > 1:
            other = group[int(rng.integers(len(group) - 1))]  # not the one just before: that is adjacent
            yield _pair("same_document", document, _opening(other.text))
        group.append(document)


def _own_pairs(
    document: Document, settings: StructuralSettings, idf: Idf, rng: np.random.Generator
) -> Iterator[CandidatePair]:
    for origin in settings.origins:
        yield from _of_origin(origin, document, settings, idf, rng)


def _of_origin(
    origin: str, document: Document, settings: StructuralSettings, idf: Idf, rng: np.random.Generator
) -> Iterator[CandidatePair]:
    if origin == "title" and _enough(body_of(document)) and _is_query(title := title_of(document)):
        yield _pair(origin, document, title)
    elif origin == "heading" and _enough(section_of(document)) and _is_query(heading := heading_of(document)):
        title = title_of(document)
        yield _pair(origin, document, heading if title in ("", heading) else f"{title}: {heading}")
    elif origin == "sentence":
        for number, sentence in enumerate(random_sentences(document.text, settings.sentences, rng)):
            yield _pair(origin, document, sentence, number)
    elif origin == "crop" and (crop := _crop(document, rng)):
        yield _pair(origin, document, crop)
    elif origin == "keywords" and (query := keyword_query(document.text, idf, settings.keyword_terms)):
        yield _pair(origin, document, query)


def _crop(document: Document, rng: np.random.Generator) -> str:
    return random_crop(document.text, rng) or random_crop(document_text(document.title, document.text), rng)


def keyword_query(text: str, idf: Idf, count: int) -> str:
    """The terms of highest tf * idf in a document, in the order in which they first stand there.

    Within one document BM25's length factor is the same for every term, and tf / (tf + c) keeps
    the order of tf; c is taken as k1 = 1.2, the weight in a document of average length.
    """
    terms = words(text)
    frequency: dict[str, int] = {}
    for term in terms:
        frequency[term] = frequency.get(term, 0) + 1
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

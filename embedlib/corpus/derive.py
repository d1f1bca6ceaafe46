"""Queries derived from documents where people have written none.

In this order: the title, a heading, the first sentence, the first half of a short text.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from embedlib.contracts import Corpus, Document, document_text, read_rows, write_table
from embedlib.corpus.leaks import LeakFilter, near_groups, stable_order
from embedlib.corpus.titles import bare, body_of, heading_of, section_of, title_of, without_opening

_SENTENCE = re.compile(r"\A\s*(.{20,400}?[.!?。！？])(?=\s|[^\x00-\x7f]|\Z)", flags=re.DOTALL)
#: Documents looked at for each query wanted; a large corpus is sampled.
LOOKED_AT = 8
KINDS = ("title", "heading", "sentence", "half")
MIN_QUERY_WORDS, MAX_QUERY_WORDS = 2, 40


class Derived(NamedTuple):
    """A query taken from a document, and what is left of the document without it."""

    doc_id: str
    group_id: str
    query: str
    kind: str
    withheld: str

    @property
    def query_id(self) -> str:
        """Id of the query: its document's, which gives one query at most."""
        return f"derived:{self.doc_id}"


class _Seen(NamedTuple):
    """How often each query and each body stands in the corpus, and how many pieces a group has."""

    queries: Counter[bytes]
    bodies: Counter[bytes]
    groups: Counter[str]


def words_in(text: str) -> int:
    """Words of a text; scripts written without spaces count two characters as a word.

    >>> words_in("three short words"), words_in("漢字漢字")
    (3, 2)
    """
    return max(len(text.split()), sum(character >= "\u2e80" for character in text) // 2)


def derive_queries(
    corpus: Corpus,
    wanted: int,
    rng: np.random.Generator,
    *,
    min_body_words: int,
    threshold: float,
    taken: Sequence[str] = (),
    avoid: Container[str] = (),
) -> list[Derived]:
    """At most ``wanted`` queries from at most half of the document groups, none nearly another.

    As many groups as there are queries give one each; fewer groups, such as long documents in many chunks,
    give several. What is left of a group gives no training pair, so half of the groups are left alone.
    A title that several documents share names none of them and gives no query; nor does a document whose
    body stands twice, or still holds the query when it has been taken out.

    Args:
        corpus: The corpus.
        wanted: Queries aimed at; there may be fewer.
        rng: Chooses the documents.
        min_body_words: Words that must be left of a document.
        threshold: Similarity of character trigrams at which two queries are one.
        taken: Queries that none may resemble.
        avoid: Documents to leave alone (positives of labelled training queries).

    Returns:
        In random order. Headings, first sentences and halves only where the kinds before do not suffice.
    """
    rows = stable_order(corpus.ids, rng)[: LOOKED_AT * wanted + 1000]
    documents = corpus.take(rows)
    seen = _count(corpus, documents)
    most_groups = max(2, len(set(corpus.column("group_id"))) // 2)
    per_group = -(-wanted // most_groups)
    found: dict[str, list[Derived]] = {kind: [] for kind in KINDS}
    taken_from: Counter[str] = Counter()
    for document in documents:
        derived = None if document.doc_id in avoid else _derive(document, seen, min_body_words)
        if derived and taken_from[derived.group_id] < per_group:
            taken_from[derived.group_id] += 1
            found[derived.kind].append(derived)
    distinct = _distinct([d for kind in found.values() for d in kind], taken, threshold, wanted)
    groups = set(list(dict.fromkeys(d.group_id for d in distinct))[:most_groups])
    chosen = [d for d in distinct if d.group_id in groups][:wanted]
    return [chosen[position] for position in stable_order([d.doc_id for d in chosen], rng)]


def parted(derived: Sequence[Derived], first: int) -> tuple[list[Derived], list[Derived]]:
    """Queries cut in two, about ``first`` of them and the rest; a group's queries stay together.

    A group that crosses the border counts to the first part.
    """
    of_group: dict[str, list[Derived]] = {}
    for one in derived:
        of_group.setdefault(one.group_id, []).append(one)
    parts: tuple[list[Derived], list[Derived]] = ([], [])
    for group in of_group.values():
        parts[len(parts[0]) >= first].extend(group)
    return parts


def _distinct(found: Sequence[Derived], taken: Sequence[str], threshold: float, wanted: int) -> list[Derived]:
    leaks = LeakFilter(taken, threshold)
    apart = [derived for derived in found if leaks.match(derived.query) is None][: 2 * wanted + 20]
    groups = near_groups([derived.query for derived in apart], threshold)
    return [derived for position, derived in enumerate(apart) if groups[position] == position]


def _count(corpus: Corpus, documents: Sequence[Document]) -> _Seen:
    """How often what these documents hold stands in the whole corpus; memory flat in the corpus's size."""
    seen = _Seen(
        Counter({_hash(query): 0 for d in documents for query in (title_of(d), heading_of(d))}),
        Counter({_hash(body_of(d)): 0 for d in documents}),
        Counter({d.group_id: 0 for d in documents}),
    )
    for document in corpus.documents():
        queries = map(_hash, filter(None, (title_of(document), heading_of(document))))
        seen.queries.update(key for key in queries if key in seen.queries)
        if (body := _hash(body_of(document))) in seen.bodies:
            seen.bodies[body] += 1
        if document.group_id != document.doc_id and document.group_id in seen.groups:
            seen.groups[document.group_id] += 1
    return seen


def _hash(text: str) -> bytes:
    return hashlib.blake2b(bare(text).encode(), digest_size=8).digest()


def _derive(document: Document, seen: _Seen, min_body_words: int) -> Derived | None:
    if seen.bodies[_hash(body_of(document))] > 1:
        return None
    for query, kind, withheld in _ways(document, seen):
        left = withheld.removeprefix(title_of(document)) if kind != "title" else withheld
        least = min_body_words if kind != "half" else min_body_words // 2
        fits = MIN_QUERY_WORDS <= words_in(query) <= MAX_QUERY_WORDS
        if fits and words_in(left) >= least and f" {bare(query)} " not in f" {bare(withheld)} ":
            return Derived(document.doc_id, document.group_id, query, kind, withheld)
    return None


def _ways(document: Document, seen: _Seen) -> Iterator[tuple[str, str, str]]:
    """(query, kind, the text without it): the best way first."""
    title, heading = title_of(document), heading_of(document)
    if title and seen.groups[document.group_id] <= 1 and seen.queries[_hash(title)] == 1:
        yield title, "title", body_of(document)
    if heading and seen.queries[_hash(heading)] == 1:
        yield heading, "heading", document_text(title, section_of(document))
    if match := _SENTENCE.match(body_of(document)):
        sentence = " ".join(match[1].split())
        if words_in(sentence) >= 4:
            yield sentence, "sentence", document_text(title, without_opening(body_of(document), sentence))
    words = body_of(document).split()
    if len(words) <= 2 * MAX_QUERY_WORDS:
        half = len(words) // 2
        yield " ".join(words[:half]), "half", document_text(title, " ".join(words[half:]))


def resembling(corpus: Corpus, derived: Sequence[Derived], threshold: float) -> set[str]:
    """Ids of documents that would teach a derived query: of the same group, or nearly its title.

    Documents with the same body need no look: they give no derived query.

    Queries count as the same from a trigram similarity of ``threshold`` on.
    """
    groups = {d.group_id for d in derived}
    leaks = LeakFilter([d.query for d in derived], threshold)
    return {
        document.doc_id
        for document in corpus.documents()
        if document.group_id in groups or leaks.match(title_of(document)) is not None
    }


WITHHELD = pa.schema([("doc_id", pa.string()), ("text", pa.string())])
WITHHELD_FILE = "withheld.parquet"


def write_withheld(folder: Path, texts: Mapping[str, str]) -> int:
    """Write doc_id and the text to score instead, sorted by doc_id; returns the number of documents."""
    rows = ({"doc_id": doc_id, "text": texts[doc_id]} for doc_id in sorted(texts))
    return write_table(folder / WITHHELD_FILE, rows, WITHHELD)


def read_withheld(queries_folder: Path) -> dict[str, str]:
    """What to encode, in evaluation, of each document that a derived query was taken from.

    Returns:
        doc_id → the whole text to encode or index (title included where it is not the query);
        empty when every query was written by people.
    """
    path = queries_folder / WITHHELD_FILE
    if not path.is_file():
        return {}
    return {row["doc_id"]: row["text"] for row in read_rows(path)}

"""Test data that found its way into training: whoever finds it names it.

With queries written by people, training on the judged documents is fair (as in GPL). With queries
derived from documents it is not: the document's own words are the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from embedlib.contracts import Corpus
from embedlib.corpus.leaks import LeakFilter, normalised
from embedlib.evaluation.judged import JudgedSet
from embedlib.retrieval.tokens import words

LeakKind = Literal["query", "near-duplicate query", "document", "duplicate document", "same words"]

#: Fewer content words than this are too little to call two queries paraphrases.
LEAST_WORDS = 3


class Leak(NamedTuple):
    """One test query whose answer was trained on.

    Args:
        kind: What leaked.
        query_id: The test query.
        example: The training query's id.
        detail: The leak in words.

    A training query of the ``same words`` in another order or form is mostly a paraphrase, but may
    ask for something else ("with", "without"): it is named, and does not void the test.
    """

    kind: LeakKind
    query_id: str
    example: str
    detail: str

    @property
    def voids(self) -> bool:
        """Whether figures on this query prove nothing."""
        return self.kind != "same words"


def find_leaks(judged: Iterable[Mapping[str, Any]], examples: Iterable[Mapping[str, Any]]) -> list[Leak]:
    """Compare every training example with the test queries.

    Args:
        judged: Rows of an evaluation's ``judged.parquet``: dataset, query_id, query, relevant_ids, twin_ids.
        examples: Training rows with query_id, query and ``positive_id`` (examples) or ``doc_id`` (pairs).

    Returns:
        Each leaked test query once a kind, in the order of the training rows.
    """
    tests = list(judged)
    near = LeakFilter([row["query"] for row in tests])
    relevant, same = _documents(tests)
    by_words: dict[frozenset[str], list[int]] = {}
    for position, row in enumerate(tests):
        by_words.setdefault(frozenset(words(row["query"])), []).append(position)
    found: dict[tuple[str, str], Leak] = {}
    for example in examples:
        leaks = [*_query_leaks(example, tests, near, by_words), *_document_leaks(example, relevant, same)]
        for leak in leaks:
            found.setdefault((leak.query_id, leak.kind), leak)
    return list(found.values())


def _documents(tests: list[Mapping[str, Any]]) -> tuple[dict[str, str], dict[str, str]]:
    """Test query by doc_id, of derived sets only: the documents themselves, and their duplicates."""
    relevant: dict[str, str] = {}
    same: dict[str, str] = {}
    for row in tests:
        if row["dataset"] == "derived":
            relevant.update(dict.fromkeys(row["relevant_ids"], row["query_id"]))
            same.update(dict.fromkeys(row["twin_ids"], row["query_id"]))
    return relevant, same


def _query_leaks(
    example: Mapping[str, Any],
    tests: list[Mapping[str, Any]],
    near: LeakFilter,
    by_words: Mapping[frozenset[str], list[int]],
) -> Iterable[Leak]:
    text = example["query"]
    terms = frozenset(words(text))
    close = near.matches(text)
    kinds: dict[int, LeakKind] = {}
    if len(terms) >= LEAST_WORDS:
        kinds = dict.fromkeys(by_words.get(terms, ()), "same words")
    kinds |= dict.fromkeys(close, "near-duplicate query")
    for position, kind in kinds.items():
        test, identity = tests[position], example["query_id"]
        if kind == "near-duplicate query" and normalised(test["query"]) == normalised(text):
            kind = "query"  # noqa: PLW2901
        relation = {"query": "is", "near-duplicate query": "is nearly"}.get(kind, "has the words of")
        detail = f"training query {identity!r} ({_short(text)}) {relation} test query {test['query_id']!r}"
        yield Leak(kind, test["query_id"], identity, detail)


def _document_leaks(
    example: Mapping[str, Any], relevant: Mapping[str, str], same: Mapping[str, str]
) -> Iterable[Leak]:
    identity = example["query_id"]
    doc_id = example.get("positive_id") or example.get("doc_id") or ""
    positive = f"document {doc_id!r}, a positive of training query {identity!r},"
    if doc_id in relevant:
        detail = f"{positive} is the document of test query {relevant[doc_id]!r}"
        yield Leak("document", relevant[doc_id], identity, detail)
    elif doc_id in same:
        detail = f"{positive} repeats the document of test query {same[doc_id]!r}"
        yield Leak("duplicate document", same[doc_id], identity, detail)


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:59] + "…")


def content_duplicates(judged: JudgedSet, corpus: Corpus) -> dict[str, list[str]]:
    """doc_ids of the rows that belong to each relevant document or repeat its content.

    A relevant id stands for its own row and, where it is a group's, for all its chunks. Whoever
    trains on one of these rows trains on the test's answer.

    Returns:
        For each relevant id (as the judgements name it) the rows' doc_ids, itself included.
    """
    relevant = {d for documents in judged.qrels.values() for d, r in documents.items() if r > 0}
    hashes = corpus.column("content_hash")
    own: dict[str, set[str]] = {}
    for label, content in zip(judged.labels, hashes, strict=True):
        if label in relevant:
            own.setdefault(label, set()).add(content)
    wanted = {content for contents in own.values() for content in contents}
    by_content: dict[str, list[str]] = {}
    for doc_id, content in zip(corpus.ids, hashes, strict=True):
        if content in wanted:
            by_content.setdefault(content, []).append(doc_id)
    return {label: sorted({d for c in contents for d in by_content[c]}) for label, contents in own.items()}

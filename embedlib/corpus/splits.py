"""Labels against a corpus: ids resolved, splits made or kept, overlaps taken out of train."""

from __future__ import annotations

import logging
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from embedlib.contracts import Corpus
from embedlib.corpus.build import read_aliases
from embedlib.corpus.labels import Judgement, Labels, Reject
from embedlib.corpus.leaks import LeakFilter, normalised
from embedlib.corpus.records import Rejected
from embedlib.corpus.split_queries import split_queries
from embedlib.json_file import IfGiven, JsonFile, JsonPart

logger = logging.getLogger(__name__)

Qrels = dict[str, dict[str, int]]
#: Below so many labelled queries all of them are test queries; from twice as many on, train gives dev too.
FEW_QUERIES = 150


@dataclass
class Splits:
    """Query ids with their judgements a split, and what ``SplitReport`` says of how they came to be."""

    qrels: dict[str, Qrels] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)


class SplitFigures(JsonPart):
    """A split: its queries and judgements, and who made the queries."""

    queries: int
    judgements: int
    origin: str


class Overlap(JsonPart):
    """Queries of one split that are, or nearly are, queries of another, those removed, and examples."""

    exact: int
    near: int
    removed: int
    examples: list[tuple[str, str]]


class SplitReport(JsonFile):
    """The splits, how they came to be, and what was taken out.

    ``labels`` says why there is no judgement where one would look for some; ``split_off`` the sizes asked
    where splits were made here, and ``judgements_cut`` what was left out to keep document groups apart.
    """

    FILE: ClassVar[str] = "report.json"
    splits: dict[str, SplitFigures]
    held_out_documents: int
    rejected: int
    unread_files: list[str]
    judgements_of_textless_documents: int
    renamed: IfGiven[str] = None
    made_by: str
    split_off: IfGiven[dict[str, int]] = None
    judgements_cut: IfGiven[int] = None
    overlaps: dict[str, Overlap]
    marks: IfGiven[dict[str, int]] = None
    labels: IfGiven[str] = None

    @property
    def can_test(self) -> bool:
        """Whether there is a test query."""
        return self.splits["test"].queries > 0


class Resolver:
    """Finds the document that a label means: itself, whole or cut, or the kept one of its duplicates."""

    def __init__(self, folder: Path) -> None:
        corpus = Corpus(folder)
        self._aliases = read_aliases(folder)
        groups = corpus.column("group_id")
        self.group_of = {doc_id: groups[rows[0]] for doc_id, rows in corpus.chunks.items()}
        self.group_of |= dict(zip(corpus.ids, groups, strict=True))
        known = [name for name in (*self.group_of, *self._aliases) if not name.isascii()]
        count = Counter(map(_composed, known))
        self._composed = {_composed(name): name for name in known if count[_composed(name)] == 1}

    def __call__(self, doc_id: str) -> str | None:
        """Id of a document of the corpus; empty for a document that has no text, None for one never seen."""
        if doc_id not in self.group_of and doc_id not in self._aliases:
            doc_id = self._composed.get(_composed(doc_id), doc_id)
        return doc_id if doc_id in self.group_of else self._aliases.get(doc_id)


def _composed(name: str) -> str:
    """An id with its accents as one character: file names from macOS have them apart, keyboards do not."""
    return unicodedata.normalize("NFC", name)


def resolve(
    judgements: Sequence[Judgement], queries: Mapping[str, Any], resolver: Resolver, reject: Reject
) -> tuple[Qrels, int]:
    """Judgements by query and corpus document; where several fall on one document the highest counts.

    Returns:
        The judgements, and how many named documents without text.
    """
    qrels: Qrels = {}
    textless = 0
    for query_id, doc_id, relevance, where in judgements:
        found = resolver(doc_id)
        if query_id not in queries:
            reject(Rejected(where, f"no query {query_id!r}"))
        elif found is None:
            reject(Rejected(where, f"no document {doc_id!r} in the corpus"))
        else:
            textless += not found
            if found:
                judged = qrels.setdefault(query_id, {})
                judged[found] = max(relevance, judged.get(found, 0))
    return qrels, textless


def make_splits(
    labels: Labels,
    resolver: Resolver,
    reject: Reject,
    rng: np.random.Generator,
    *,
    sizes: Mapping[str, int],
    threshold: float,
) -> Splits:
    """Train, dev and test judgements out of labels; a split that cannot be had is left out.

    Splits that come with the labels are kept. Test, and dev where train is large enough, are split off
    what there is where they are missing. Train loses every query that dev or test has, or nearly has.

    Args:
        labels: Queries and judgements.
        resolver: Of the corpus.
        reject: Callback for judgements that cannot be used.
        rng: Chooses.
        sizes: Largest ``test`` and ``dev``.
        threshold: Similarity of character trigrams at which two queries are one.
    """
    done = Splits(report={"unread_files": labels.unread, "judgements_of_textless_documents": 0})
    given: dict[str, Qrels] = {}
    for name, judgements in labels.judgements.items():
        given[name], textless = resolve(judgements, labels.queries, resolver, reject)
        done.report["judgements_of_textless_documents"] += textless
    given = {name: qrels for name, qrels in given.items() if qrels}
    if "test" not in given and "train" not in given and "dev" in given:
        given["test"] = given.pop("dev")
        done.report["renamed"] = "the only labels were dev's; they are the test split"
    done.qrels, done.report["made_by"] = given, "official" if given else "derived"
    pool = "" if "" in given else "train"
    wanted = _sizes(len(given.get(pool, {})), given, sizes, pool)
    if wanted:
        _split_off(done, pool, wanted, labels, resolver, rng, threshold)
    elif pool == "" and pool in given:
        given["test"] = given.pop("")
        done.report["made_by"] = f"all labels are test: fewer than {FEW_QUERIES} queries"
    done.report["overlaps"] = remove_overlaps(
        done.qrels, {q: v.text for q, v in labels.queries.items()}, threshold
    )
    return done


def _sizes(queries: int, given: Mapping[str, Qrels], largest: Mapping[str, int], pool: str) -> dict[str, int]:
    """Queries for each missing split: a fifth (at least 100) for test, a tenth for dev."""
    wanted: dict[str, int] = {}
    if pool not in given or queries < FEW_QUERIES:
        return wanted
    if "test" not in given:
        wanted["test"] = min(largest["test"], max(queries // 5, 100))
    if "dev" not in given and queries >= 2 * FEW_QUERIES:
        wanted["dev"] = min(largest["dev"], max(queries // 10, 50))
    return wanted


def _split_off(
    done: Splits,
    pool: str,
    wanted: Mapping[str, int],
    labels: Labels,
    resolver: Resolver,
    rng: np.random.Generator,
    threshold: float,
) -> None:
    qrels = done.qrels.pop(pool)
    group_of = resolver.group_of
    groups = {q: frozenset(group_of[d] for d, r in docs.items() if r > 0) for q, docs in qrels.items()}
    texts = {query_id: labels.queries[query_id].text for query_id in qrels}
    made = split_queries(texts, groups, wanted, rng, threshold)
    done.report |= {"made_by": made.how, "split_off": dict(wanted), "judgements_cut": len(made.left_out)}
    if made.how == "queries":
        logger.warning("documents are so widely shared between queries that the splits made share them")
    for query_id, docs in qrels.items():
        kept = {d: r for d, r in docs.items() if (query_id, group_of[d]) not in made.left_out}
        if any(kept.values()) or not any(docs.values()):
            done.qrels.setdefault(made.split[query_id], {})[query_id] = kept


def remove_overlaps(
    qrels: dict[str, Qrels], texts: Mapping[str, str], threshold: float
) -> dict[str, Overlap]:
    """Take out of train each query that is, or nearly is, one of dev or test; count what was found.

    Returns:
        For the report: per pair of splits the exact and near overlaps, and ten examples.
    """
    overlaps: dict[str, Overlap] = {}
    for ours, theirs in (("train", "test"), ("train", "dev"), ("dev", "test")):
        mine, others = sorted(qrels.get(ours, {})), sorted(qrels.get(theirs, {}))
        leaks = LeakFilter([texts[query_id] for query_id in others], threshold)
        found = {q: others[m] for q in mine if (m := leaks.match(texts[q])) is not None}
        exact = sum(normalised(texts[q]) == normalised(texts[other]) for q, other in found.items())
        overlaps[f"{ours}/{theirs}"] = Overlap(
            exact=exact,
            near=len(found) - exact,
            removed=len(found) if ours == "train" else 0,
            examples=[(texts[q], texts[other]) for q, other in list(found.items())[:10]],
        )
        if ours == "train":
            for query_id in found:
                del qrels["train"][query_id]
    return overlaps

"""Queries with known answers, asked of the live release: canaries and fresh labels."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from embedlib.contracts import Judgements
from embedlib.evaluation.measures import score_run
from embedlib.evaluation.significance import Interval, bootstrap_mean
from embedlib.evaluation.statistics import Resampling
from embedlib.monitoring.logs import Label


class FoundDocument(NamedTuple):
    """A document found, and the document it is a chunk of (itself when it is whole)."""

    doc_id: str
    group_id: str
    score: float

    def named_in(self, ids: Collection[str]) -> str | None:
        """The id by which the answer is named among ``ids``, None when it is not."""
        return next((i for i in (self.doc_id, self.group_id) if i in ids), None)


#: ``search(queries, k)`` gives, for each query, its answers, best first.
Search = Callable[[Sequence[str], int], list[list[FoundDocument]]]

MEASURE, DEPTH = "nDCG@10", 10


class Canary(BaseModel):
    """A query and the documents of which at least one has to be found."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    query: str
    expected: list[str]


class Baseline(BaseModel):
    """Canaries and how many of them a model found when it was first released; read back at each check."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    model: str
    release: int
    k: int
    found: list[bool]
    canaries: list[Canary]


class CanaryResult(NamedTuple):
    """Found share now and at the baseline, on the canaries whose answers the corpus still has.

    ``lost`` are queries that were found at the baseline and are not now.
    """

    share: float
    baseline: float
    asked: int
    lost: list[str]


def choose_canaries(
    judgements: Judgements, known_ids: set[str], count: int, rng: np.random.Generator
) -> list[Canary]:
    """A random sample of judged queries with at least one relevant document in the corpus.

    Queries of people or logs are taken before derived ones.
    """
    candidates = []
    for query_id in sorted(judgements.queries):
        expected = sorted(
            d for d, r in judgements.qrels.get(query_id, {}).items() if r > 0 and d in known_ids
        )
        if expected:
            derived = judgements.origins[query_id].startswith("derived")
            candidates.append((derived, Canary(query=judgements.queries[query_id], expected=expected)))
    order = rng.permutation(len(candidates))
    preferred = sorted(order.tolist(), key=lambda i: candidates[i][0])
    return [candidates[i][1] for i in preferred[:count]]


def found_canaries(search: Search, canaries: Sequence[Canary], k: int) -> list[bool]:
    """Whether each canary has an expected document among its first k hits."""
    answers = search([c.query for c in canaries], k)
    return [
        any(answer.named_in(c.expected) for answer in hits[:k])
        for c, hits in zip(canaries, answers, strict=True)
    ]


def compare_canaries(baseline: Baseline, now: Sequence[bool], known_ids: set[str]) -> CanaryResult | None:
    """Found canaries now against the baseline; None when the corpus has no canary's answers any more."""
    kept = [
        (c.query, then, found)
        for c, then, found in zip(baseline.canaries, baseline.found, now, strict=True)
        if known_ids.intersection(c.expected)
    ]
    if not kept:
        return None
    lost = [query for query, then, found in kept if then and not found]
    share = sum(found for _, _, found in kept) / len(kept)
    return CanaryResult(share, sum(then for _, then, _ in kept) / len(kept), len(kept), lost)


def score_labels(
    search: Search, labels: Sequence[Label], known_ids: set[str], rng: np.random.Generator
) -> Interval | None:
    """nDCG@10 of the live release on fresh labels, with its bootstrap interval over queries.

    Labels of documents that the live corpus lacks are left out, since no ranking could find them;
    None when none is left.
    """
    qrels: dict[str, dict[str, int]] = {}
    for label in labels:
        if label.doc_id in known_ids:
            judged = qrels.setdefault(label.query, {})
            judged[label.doc_id] = max(judged.get(label.doc_id, 0), label.relevance)
    queries = [q for q, judged in qrels.items() if any(r > 0 for r in judged.values())]
    if not queries:
        return None
    answers = search(queries, DEPTH)
    run = {q: _run(hits[:DEPTH], qrels[q]) for q, hits in zip(queries, answers, strict=True)}
    values = score_run(run, {q: qrels[q] for q in queries}, [MEASURE])[MEASURE]
    return bootstrap_mean(np.array([values[q] for q in queries]), Resampling(rng))


def _run(hits: Sequence[FoundDocument], judged: Mapping[str, int]) -> dict[str, float]:
    """Hits by the ids that the labels use; of several chunks of one document the best counts."""
    run: dict[str, float] = {}
    for hit in hits:
        run.setdefault(hit.named_in(judged) or hit.doc_id, hit.score)
    return run

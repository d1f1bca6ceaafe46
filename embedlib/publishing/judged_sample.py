"""A release's judged queries, and documents that a search has to tell apart, to try another runtime on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embedlib.contracts import Corpus
from embedlib.errors import EmbedlibError
from embedlib.evaluation.judged import primary_set, read_judged
from embedlib.evaluation.measures import ranked
from embedlib.evaluation.runs import read_run
from embedlib.index.catalog import Release
from embedlib.publishing.facts import evaluation_of, system_of

MEASURE = "nDCG@10"
DEPTH = 10
MOST = 100


@dataclass(frozen=True)
class JudgedSample:
    """Queries, and for each the documents to rank: the relevant ones, and the first that the model found.

    Args:
        queries: Text by query id.
        documents: Text by document id; of a document in chunks, its first.
        candidates: Documents to rank by query id.
        qrels: Relevance of judged documents by query id.
    """

    queries: Mapping[str, str]
    documents: Mapping[str, str]
    candidates: Mapping[str, list[str]]
    qrels: Mapping[str, Mapping[str, int]]


def judged_sample(root: Path, release: Release) -> JudgedSample | None:
    """At most a hundred of the test queries that the release was decided on; None where none are left."""
    evaluation = evaluation_of(root, release)
    system = system_of(release.ref(root, "model"), evaluation)
    parents = evaluation.parents if evaluation is not None else {}
    if evaluation is None or not system or not all(parents[n].exists for n in ("corpus", "queries")):
        return None
    corpus = Corpus(parents["corpus"].path)
    judged = primary_set(read_judged(corpus, parents["queries"].path, "test"))
    if judged is None:
        return None
    judged = judged.sample(MOST, np.random.default_rng(0))
    try:
        run = read_run(evaluation.file(f"runs/{judged.name}.{system}.trec"))
    except EmbedlibError:
        return None
    rows: dict[str, int] = {}
    for row, label in enumerate(judged.labels):
        rows.setdefault(label, row)
    candidates = {
        query: sorted({*ranked(run.get(query, {}))[:DEPTH], *(d for d in relevant if d in rows)})
        for query, relevant in judged.qrels.items()
    }
    wanted = sorted({d for documents in candidates.values() for d in documents})
    texts = [f"{d.title} {d.text}".strip() for d in corpus.take([rows[d] for d in wanted])]
    queries = dict(zip(judged.query_ids, judged.query_texts, strict=True))
    return JudgedSample(queries, dict(zip(wanted, texts, strict=True)), candidates, judged.qrels)

"""What a collection must pass before the target's name leads to it, asked of the store itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from embedlib.contracts import Corpus, Floats, Rows
from embedlib.errors import EmbedlibError, VerificationError
from embedlib.index.queries import sample_queries
from embedlib.index.tune import recall_at_k
from embedlib.index.verify import Checks
from embedlib.models import local
from embedlib.models.encoder import truncate
from embedlib.redact import redact
from embedlib.retrieval.dense import exact_search
from embedlib.stores.base import CollectionInfo, Found, VectorStore
from embedlib.stores.rows import ReleaseRows

#: Queries that recall is measured with.
QUERIES = 50


def verify_collection(
    root: Path, store: VectorStore, name: str, rows: ReleaseRows, wanted: CollectionInfo, checks: Checks
) -> None:
    """Compare counts and ids with the release, measure recall against exact search, ask the canaries.

    Raises:
        VerificationError: Listing every check that failed.
    """
    if rows.release.search.mode != "dense":  # its canaries were asked of the whole fusion when it went live
        checks = replace(checks, canaries=())
    problems = _check_rows(store, name, rows)
    if not problems:
        encoder = checks.encoder or local.load_encoder(rows.release.ref(root, "model").path)
        sample = sample_queries(_queries(root, rows), rows.corpus, QUERIES, rng=np.random.default_rng(0))
        texts = [*sample.texts, *(query for query, _ in checks.canaries)]
        queries = truncate(encoder.encode_queries(texts), rows.dimension, rows.normalized)
        depth = max(checks.k, min(rows.recall_k, len(rows)))
        answers = store.search(name, queries, depth, exact=wanted.index == "exact")
        measured = len(sample.texts)
        problems = [
            *_check_recall(rows, queries[:measured], answers[:measured]),
            *_check_canaries(checks, answers[measured:], rows.corpus),
        ]
    if problems:
        raise VerificationError(
            f"the collection {name!r} fails its verification: " + "; ".join(problems),
            where=redact(store.address),
            remedy="the old collection stays live; mend the cause, then `embedlib push-index` goes on",
        )


def _check_rows(store: VectorStore, name: str, rows: ReleaseRows) -> list[str]:
    count = 0

    def counted() -> Iterator[tuple[list[str], list[str]]]:
        nonlocal count
        for keys, hashes in store.held(name):
            count += len(keys)
            yield keys, hashes

    difference = rows.difference(counted())
    if count == len(rows) and not difference:
        return []
    return [
        f"it holds {count} rows for {len(rows)} documents; {len(difference.rows)} documents are missing "
        f"or differ, {len(difference.keys)} rows are of no document"
    ]


def _check_recall(rows: ReleaseRows, queries: Floats, answers: list[list[Found]]) -> list[str]:
    k = min(rows.recall_k, len(rows))

    def blocks() -> Iterator[tuple[int, Floats]]:
        return ((s, truncate(b, rows.dimension, rows.normalized)) for s, b in rows.vectors.blocks())

    truth = exact_search(queries, blocks, k).rows
    recall = recall_at_k(found_rows(answers, rows.corpus.row_of, k), truth)
    if recall >= rows.recall_target:
        return []
    return [f"recall@{k} is {recall:.4f}, below the target {rows.recall_target:g}"]


def _check_canaries(checks: Checks, answers: list[list[Found]], corpus: Corpus) -> list[str]:
    return [
        f"the canary {query!r} does not find {doc_id!r} among {checks.k} hits"
        for (query, doc_id), found in zip(checks.canaries, answers, strict=True)
        if {hit.doc_id for hit in found[: checks.k]}.isdisjoint(corpus.ids[r] for r in corpus.rows_of(doc_id))
    ]


def found_rows(answers: list[list[Found]], row_of: dict[str, int], k: int) -> Rows:
    """Corpus rows of hits, int64 [q, k], -1 after the last."""
    rows = np.full((len(answers), k), -1, dtype=np.int64)
    for i, found in enumerate(answers):
        rows[i, : min(len(found), k)] = [row_of[hit.doc_id] for hit in found[:k]]
    return rows


def _queries(root: Path, rows: ReleaseRows) -> Path | None:
    """The queries that the release's index was tuned with, if they are still there."""
    try:
        return rows.release.ref(root, "index").parents["queries"].path
    except (EmbedlibError, KeyError, OSError):
        return None

"""What an index must pass before anything is published; every failure is named in one error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from embedlib.artifact import ArtifactRef
from embedlib.contracts import Corpus, Floats, Rows, document_text
from embedlib.errors import DataError, MismatchError, VerificationError
from embedlib.index.build import check_norms
from embedlib.index.dense import DenseIndex
from embedlib.index.info import IDS_FILE, IndexInfo
from embedlib.models import local
from embedlib.models.encoder import Encoder
from embedlib.retrieval.hits import Hits
from embedlib.retrieval.sparse import SPARSE_DIR, SparseInfo
from embedlib.vectors import Vectors

#: A document encoded again, in another batch or precision, comes out this similar, or the model, its pooling
#: or its prompts are others.
SAME_VECTOR = 0.98
#: Vectors whose norm is looked at again.
NORM_SAMPLE = 4096


@dataclass(frozen=True)
class Checks:
    """What is checked besides the files and counts; nothing unless asked for.

    Args:
        canaries: (query, doc_id): the document, or a chunk of it, must be among the query's first k hits.
        k: Depth of canaries and self-checks.
        self_checks: Documents encoded again: they must match their stored vector and find themselves.
        encoder: The model if it is loaded already; it is loaded from the artifact when None.
    """

    canaries: tuple[tuple[str, str], ...] = ()
    k: int = 10
    self_checks: int = 0
    encoder: Encoder | None = None


def verify_index(
    index: ArtifactRef, vectors: Vectors, corpus: Corpus, model: ArtifactRef, checks: Checks
) -> dict[str, Any]:
    """Check counts, ids, dimension, norms, recall, the model, and canaries; returns figures for the release.

    Raises:
        VerificationError: Listing every check that failed.
        MismatchError: Index and vectors were not made from each other.
        CorruptArtifact: A file cannot be read.
    """
    info = IndexInfo.read(index.path)
    problems = [*_check_ids(index, vectors, corpus, info), *_check_norms(vectors), *_check_recall(info)]
    figures: dict[str, Any] = {"documents": info.count, "recall": info.recall.value}
    if not problems:
        dense = DenseIndex.open(index.path, vectors)
        encoder = checks.encoder or local.load_encoder(model.path)
        found, failures = _self_check(dense, vectors, corpus, encoder, checks)
        asked, missed = _ask_canaries(dense, corpus, encoder, checks)
        figures.update(found, canaries=asked)
        problems = [*failures, *missed]
    if problems:
        raise failed(index, problems)
    return figures


def failed(index: ArtifactRef, problems: Sequence[str]) -> VerificationError:
    """The error for an index that fails some checks."""
    return VerificationError(
        "the index fails its verification: " + "; ".join(problems),
        where=str(index.path),
        remedy="nothing was published; mend the cause, or delete the artifact and run again",
    )


def _check_ids(index: ArtifactRef, vectors: Vectors, corpus: Corpus, info: IndexInfo) -> list[str]:
    counts = {"corpus": len(corpus), "vectors": len(vectors), "index.json": info.count}
    problems = []
    if (index.path / SPARSE_DIR).is_dir():
        counts["sparse vectors"] = SparseInfo.read(index.path / SPARSE_DIR).documents
    if len(set(counts.values())) > 1:
        problems.append(f"counts differ: {counts}")
    if vectors.ids != corpus.ids:
        problems.append("the vectors' ids are not the corpus's")
    if (index.path / IDS_FILE).read_bytes() != (vectors.folder / "ids.parquet").read_bytes():
        problems.append("the index's ids are not the vectors'")
    return problems


def _check_norms(vectors: Vectors) -> list[str]:
    rows = np.unique(np.linspace(0, len(vectors) - 1, min(NORM_SAMPLE, len(vectors)), dtype=np.int64))
    try:
        check_norms(vectors.take(rows), 0, vectors)
    except DataError as error:
        return [error.what]
    return []


def _check_recall(info: IndexInfo) -> list[str]:
    recall = info.recall
    if recall.value >= recall.target:
        return []
    return [
        f"recall@{recall.k} is {recall.value:.4f}, below the target {recall.target:g} "
        "(choose another index.factory, or a lower index.recall_target)"
    ]


def _self_check(
    dense: DenseIndex, vectors: Vectors, corpus: Corpus, encoder: Encoder, checks: Checks
) -> tuple[dict[str, float], list[str]]:
    """Encode documents anew: the same model gives the stored vectors, and each finds itself."""
    if not checks.self_checks:
        return {}, []
    rows = np.unique(np.linspace(0, len(corpus) - 1, min(checks.self_checks, len(corpus)), dtype=np.int64))
    documents = corpus.take(rows)
    stored = vectors.take(rows)
    again = _encode(encoder, [document_text(d.title, d.text) for d in documents], dense.dimension)
    cosines = row_cosines(stored, again)
    found = _finds_itself(dense, again, stored, rows, checks.k)
    problems = []
    if cosines.min() < SAME_VECTOR:
        worst = int(np.argmin(cosines))
        problems.append(
            f"the model does not give the stored vector of document {documents[worst].doc_id!r}: "
            f"cosine {cosines[worst]:.3f}, expected at least {SAME_VECTOR}"
        )
    if not found.all():
        lost = documents[int(np.argmin(found))].doc_id
        problems.append(f"document {lost!r} does not find itself among {checks.k} hits")
    return {"self_found": float(found.mean()), "self_cosine": float(cosines.min())}, problems


def _encode(encoder: Encoder, texts: list[str], dimension: int) -> Floats:
    vectors = encoder.encode_documents(texts)
    if vectors.shape[1] != dimension:
        raise MismatchError(
            "the model gives vectors of another dimension than the index",
            where=encoder.name,
            expected=str(dimension),
            found=str(vectors.shape[1]),
            remedy="publish the model that encoded the documents",
        )
    return vectors


def row_cosines(a: Floats, b: Floats) -> Floats:
    """Cosine of each row of the one with that of the other, [n]."""
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosines: Floats = np.einsum("nd,nd->n", a, b) / np.maximum(norms, 1e-12)
    return cosines


def _finds_itself(dense: DenseIndex, again: Floats, stored: Floats, rows: Rows, k: int) -> Any:
    """Per document: it is among the k hits, or those are at least as close (copies of its text)."""
    hits = dense.search(again, k)
    own = np.einsum("nd,nd->n", again, stored)
    last = np.where(hits.rows >= 0, hits.scores, np.inf).min(axis=1)
    return (hits.rows == rows[:, None]).any(axis=1) | (last >= own - 1e-3)


def _ask_canaries(
    dense: DenseIndex, corpus: Corpus, encoder: Encoder, checks: Checks
) -> tuple[int, list[str]]:
    if not checks.canaries:
        return 0, []
    hits = dense.search(encoder.encode_queries([query for query, _ in checks.canaries]), checks.k)
    return len(checks.canaries), missed_canaries(hits, corpus, checks)


def missed_canaries(hits: Hits, corpus: Corpus, checks: Checks) -> list[str]:
    """A sentence for each canary whose document, or a chunk of it, is not among its hits."""
    problems = []
    for (query, doc_id), rows in zip(checks.canaries, hits.rows, strict=True):
        if not (own := corpus.rows_of(doc_id)):
            problems.append(f"the document {doc_id!r} of the canary {query!r} is not in the corpus")
        elif not np.isin(own, rows).any():
            problems.append(f"the canary {query!r} does not find {doc_id!r} among {checks.k} hits")
    return problems

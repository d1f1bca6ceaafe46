"""The ``index`` stage: vectors in, a tuned and verified FAISS index out."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from embedlib.artifact import ArtifactRef
from embedlib.config.index import Index
from embedlib.contracts import Corpus
from embedlib.index.artifact import write_bm25, write_index
from embedlib.index.choose import Demands
from embedlib.index.documents import DOCUMENTS_FILE, write_documents
from embedlib.index.info import BM25_DIR, IDS_FILE, INDEX_FILE
from embedlib.index.queries import QuerySample, sample_queries
from embedlib.index.select import SelectedIndex, select_index
from embedlib.index.tune import plot_curve
from embedlib.models.local import load_encoder
from embedlib.retrieval.sparse import MATRIX_FILE, SPARSE_DIR, SparseInfo
from embedlib.stages.base import Job, Stage, Summary
from embedlib.vectors import Vectors


def run(
    job: Job,
    config: Index,
    *,
    corpus: ArtifactRef,
    vectors: ArtifactRef,
    model: ArtifactRef,
    queries: ArtifactRef | None = None,
    sparse: ArtifactRef | None = None,
) -> Summary:
    """Choose, build and tune an index; see ``embedlib.index.assemble``."""
    documents, made = Corpus(corpus.path), Vectors(vectors.path)
    made.require_model(model.digest)
    rng = job.generator("index")
    sample = sample_queries(
        None if queries is None else queries.path, documents, config.tuning_queries, rng=rng
    )
    encoded = load_encoder(model.path, dtype="auto").encode_queries(sample.texts)
    with ThreadPoolExecutor(1) as pool:  # counting words is Python's work, FAISS leaves it free
        lexical = pool.submit(write_bm25, documents.texts(), job.out / BM25_DIR) if config.bm25 else None
        demands = Demands(**config.model_dump(exclude={"tuning_queries", "bm25"}))
        assembled = select_index(made, encoded, demands, rng=rng, progress=job.progress)
        write_index(job.out, assembled, made, corpus.digest, config.factory, config.recall_target, sample)
        write_documents(documents, job.out / DOCUMENTS_FILE)
    shutil.copyfile(vectors.file(IDS_FILE), job.out / IDS_FILE)
    if sparse is not None:
        (job.out / SPARSE_DIR).mkdir()
        for name in (MATRIX_FILE, SparseInfo.FILE):
            shutil.copyfile(sparse.file(name), job.out / SPARSE_DIR / name)
    plot_curve(assembled.tuned.curve, config.recall_target, assembled.k, job.out / "curve.png")
    return _summary(assembled, sample, job.out, lexical is not None and lexical.result())


def _summary(made: SelectedIndex, sample: QuerySample, out: Path, lexical: bool) -> Summary:
    return {
        "factory": made.factory,
        "reason": made.reason,
        "count": int(made.index.ntotal),
        "dimension": int(made.index.d),
        f"recall@{made.k}": round(made.tuned.recall, 4),
        "tuning_queries": len(sample.texts),
        "tuning_source": sample.source,
        "latency_ms": round(made.latency_ms, 3),
        "build_s": round(made.build_s, 3),
        "size_mb": round((out / INDEX_FILE).stat().st_size / 2**20, 2),
        "bm25": lexical,
    }


STAGE = Stage("index", "index", run)

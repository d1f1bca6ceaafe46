"""Stage ``synthesize``: labelled pairs, or pairs made from the documents, filtered and mixed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from embedlib.config.pairs import Synthesize
from embedlib.contracts import PAIRS, Corpus, Vectors, read_judgements, read_rows, write_json, write_table
from embedlib.models.local import load_encoder
from embedlib.pairs.candidate import LABEL_FREE, Candidate
from embedlib.pairs.labels import labelled_pairs
from embedlib.pairs.mixing import mix
from embedlib.pairs.report import pair_samples, pairs_report
from embedlib.pairs.selection import Limits, Selection, select_pairs
from embedlib.pairs.structural import Settings, structural_pairs
from embedlib.retrieval.bm25 import BM25Index, build_bm25
from embedlib.stages.base import Job, Stage
from embedlib.store import ArtifactRef


def run(
    job: Job,
    config: Synthesize,
    *,
    corpus: ArtifactRef,
    queries: ArtifactRef,
    model: ArtifactRef,
    vectors: ArtifactRef,
) -> Mapping[str, Any]:
    """Write pairs.parquet, report.json and samples.json."""
    documents, stored = Corpus(corpus.path), Vectors(vectors.path)
    stored.require_model(model.digest)
    held_out = {row["doc_id"] for row in read_rows(queries.file("held_out.parquet"))}
    labels = labelled_pairs(queries.path, documents.row_of, held_out)
    origins = chosen_origins(config, len(labels.pairs))
    pairs = list(labels.pairs) if "label" in origins else []
    table = {"label": labels.counts} if "label" in origins else {}
    if set(origins) - {"label"}:
        made = _make(job, config, origins, documents, held_out, queries.path, model.path, stored)
        kept = mix(
            made.pairs,
            shares={str(origin): share for origin, share in config.shares.items()},
            per_document=config.per_document,
            max_pairs=config.max_pairs,
            rng=job.generator("mix"),
        )
        table |= pairs_report(made, kept)
        pairs += kept
    return _write(job.out, pairs, table, documents, job.generator("samples"))


def chosen_origins(config: Synthesize, labelled: int) -> tuple[str, ...]:
    """The configured origins, or labels alone where there are enough, or the label-free mix with labels."""
    if config.origins:
        return config.origins
    if labelled >= max(config.label_minimum, 1):
        return ("label",)
    writers = tuple(name for name in ("seq2seq", "llm") if getattr(config, name) is not None)
    return ("label", *LABEL_FREE, *writers)


def _make(
    job: Job,
    config: Synthesize,
    origins: tuple[str, ...],
    documents: Corpus,
    held_out: set[str],
    queries: Path,
    model: Path,
    stored: Vectors,
) -> Selection:
    """Every unlabelled pair that passes the filters."""
    bm25 = build_bm25(documents.texts())
    candidates = list(_candidates(job, config, origins, documents, held_out, bm25))
    encoder = load_encoder(model)
    protected = [
        text for split in ("dev", "test") for text in read_judgements(queries, split).queries.values()
    ]
    return select_pairs(
        candidates,
        protected=protected,
        row_of=documents.row_of,
        encode=lambda texts: encoder.encode_queries(texts, progress=job.progress),
        bm25=bm25,
        blocks=stored.blocks,
        limits=Limits(config.round_trip_k, config.near_identical, config.leak_similarity),
    )


def _candidates(
    job: Job,
    config: Synthesize,
    origins: tuple[str, ...],
    documents: Corpus,
    held_out: set[str],
    bm25: BM25Index,
) -> Iterator[Candidate]:
    """Pairs of every origin; when there are more documents than pairs may be, of a sample of them."""
    rng = job.generator("documents")
    total = len(documents)
    sampled = np.zeros(total, dtype=bool)
    sampled[rng.permutation(total)[: config.max_pairs]] = True
    usable = (
        d for d, take in zip(documents.documents(), sampled, strict=True) if take and d.doc_id not in held_out
    )
    settings = Settings(origins, config.sentences_per_document, config.keyword_terms)
    for count, pair in enumerate(
        structural_pairs(usable, settings, bm25.idf, job.generator("crops")), start=1
    ):
        if count % 1000 == 0:
            job.progress(count, None, "structural pairs")
        yield pair


def _write(
    out: Path, pairs: list[Candidate], table: dict[str, Any], documents: Corpus, rng: np.random.Generator
) -> dict[str, Any]:
    write_table(out / "pairs.parquet", (pair._asdict() for pair in pairs), PAIRS)
    coverage = len({pair.doc_id for pair in pairs}) / len(documents)
    write_json(out / "report.json", {"pairs": len(pairs), "coverage": coverage, "origins": table})
    write_json(out / "samples.json", pair_samples(pairs, documents, rng))
    summary: dict[str, Any] = {"pairs": len(pairs), "coverage": round(coverage, 4)}
    return summary | {f"kept_{origin}": counts["kept"] for origin, counts in table.items()}


STAGE = Stage("synthesize", "pairs", run)

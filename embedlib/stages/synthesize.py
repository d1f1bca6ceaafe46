"""Stage ``synthesize``: labelled pairs, or pairs made from the documents, filtered and mixed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from embedlib.artifact import ArtifactRef
from embedlib.config.pairs import Llm, Seq2Seq, Synthesize
from embedlib.contracts import (
    PAIRS,
    CandidatePair,
    Corpus,
    Document,
    document_text,
    read_judgements,
    read_rows,
    write_table,
)
from embedlib.errors import BudgetExhausted
from embedlib.json_file import SAMPLES, write_json
from embedlib.models.local import load_encoder
from embedlib.models.resolve import model_digests
from embedlib.pairs.labels import labelled_pairs
from embedlib.pairs.report import PairsReport, origin_counts, pair_samples
from embedlib.pairs.selection import FilterThresholds, Selection, mix, select_pairs
from embedlib.pairs.structural import LABEL_FREE, structural_pairs
from embedlib.retrieval.bm25 import BM25Index, build_bm25
from embedlib.stages.base import Job, Stage, Summary
from embedlib.vectors import Vectors

logger = logging.getLogger(__name__)


def run(
    job: Job,
    config: Synthesize,
    *,
    corpus: ArtifactRef,
    queries: ArtifactRef,
    model: ArtifactRef,
    vectors: ArtifactRef,
) -> Summary:
    """Write pairs.parquet, report.json and samples.json."""
    documents, stored = Corpus(corpus.path), Vectors(vectors.path)
    stored.require_model(model.digest)
    held_out = {row["doc_id"] for row in read_rows(queries.file("held_out.parquet"))}
    labels = labelled_pairs(queries.path, documents, held_out)
    origins = chosen_origins(config, len(labels.pairs))
    pairs = list(labels.pairs) if "label" in origins else []
    table: dict[str, Any] = {"label": labels.counts} if "label" in origins else {}
    making = _Making(job, config, origins, documents, held_out)
    if set(origins) - {"label"}:
        made = _select(making, queries.path, model.path, stored)
        kept = mix(
            made.pairs,
            shares={str(origin): share for origin, share in config.shares.items()},
            per_document=config.per_document,
            max_pairs=config.max_pairs,
            rng=job.generator("mix"),
        )
        table |= origin_counts(made, kept)
        pairs += kept
    coverage = round(len({pair.doc_id for pair in pairs}) / len(documents), 4)
    PairsReport(pairs=len(pairs), coverage=coverage, origins=table, **making.notes).write(job.out)
    write_table(job.out / "pairs.parquet", (pair._asdict() for pair in pairs), PAIRS)
    write_json(job.out / SAMPLES, pair_samples(pairs, documents, job.generator("samples")))
    kept_of = {f"kept_{origin}": counts["kept"] for origin, counts in table.items()}
    return {"pairs": len(pairs), "coverage": coverage, **kept_of, **making.spent}


def chosen_origins(config: Synthesize, labelled: int) -> tuple[str, ...]:
    """The configured origins, or labels alone where there are enough, or the label-free mix with labels."""
    if config.origins:
        return config.origins
    if labelled >= max(config.label_minimum, 1):
        return ("label",)
    writers = tuple(name for name in ("seq2seq", "llm") if getattr(config, name) is not None)
    return ("label", *LABEL_FREE, *writers)


@dataclass(frozen=True)
class _Making:
    """What unlabelled pairs are made from; ``notes`` goes into the report, ``spent`` into the summary."""

    job: Job
    config: Synthesize
    origins: tuple[str, ...]
    documents: Corpus
    held_out: set[str]
    notes: dict[str, Any] = field(default_factory=dict)
    spent: dict[str, Any] = field(default_factory=dict)

    def usable(self, most: int) -> Iterator[Document]:
        """The documents that may give pairs; of more than ``most``, a random sample of that size."""
        total = len(self.documents)
        sampled = np.zeros(total, dtype=bool)
        sampled[self.job.generator("documents").permutation(total)[:most]] = True
        for document, take in zip(self.documents.documents(), sampled, strict=True):
            if take and document.doc_id not in self.held_out:
                yield document

    def texts(self, most: int) -> Iterator[tuple[str, str]]:
        """(doc_id, text) of the usable documents, for the query writers."""
        return ((d.doc_id, document_text(d.title, d.text)) for d in self.usable(most))

    def candidates(self, bm25: BM25Index) -> Iterator[CandidatePair]:
        """Pairs of every origin, as yet unfiltered."""
        config = self.config
        documents, rng = self.usable(config.max_pairs), self.job.generator("crops")
        sentences = config.sentences_per_document
        made = structural_pairs(documents, self.origins, bm25.idf, rng, sentences=sentences)
        for count, pair in enumerate(made, start=1):
            self.job.progress(count, None, "structural pairs")
            yield pair
        if "seq2seq" in self.origins and config.seq2seq is not None:
            yield from self._seq2seq(config.seq2seq)
        if "llm" in self.origins and config.llm is not None:
            yield from self._llm(config.llm)

    def _seq2seq(self, options: Seq2Seq) -> Iterator[CandidatePair]:
        from embedlib.pairs.seq2seq import QuerySampling, QueryWriter, generated_pairs

        sampling = QuerySampling(
            count=options.queries_per_document,
            max_query_tokens=options.max_query_tokens,
            batch_size=options.batch_size,
            prompt=options.prompt,
            seed=self.job.seed,
        )
        scratch = self.job.scratch / "seq2seq"
        writer = QueryWriter(options.model)
        texts = self.texts(options.max_documents)
        yield from generated_pairs(texts, writer, sampling, scratch, self.job.progress)

    def _llm(self, options: Llm) -> Iterator[CandidatePair]:
        """Queries of a language model; a spent budget ends them, and what was bought is used."""
        from embedlib.pairs.llm import LlmReport, Writer, generate_queries

        report = LlmReport()
        writer = Writer(**options.writer_arguments(), seed=self.job.seed)
        written = generate_queries(
            self.texts(self.config.max_pairs),
            options.settings,
            writer,
            n=options.queries_per_document,
            ledger=self.job.store.root / "llm",
            report=report,
        )
        count = 0
        try:
            for doc_id, query in written:
                yield CandidatePair(f"llm:{doc_id}:{count}", query, doc_id, "llm")
                count += 1
                self.job.progress(count, None, "queries by the language model")
        except BudgetExhausted as error:
            if not count:
                raise
            logger.warning("%s; going on with the %d queries bought", error, count)
            self.notes["llm_budget_exhausted"] = True
        counts = asdict(report)
        self.spent.update({f"llm_{name}": counts.pop(name) for name in _MEASURED})
        self.notes["llm"] = counts


#: Counts that differ between a first run and one that finds answers in its ledger.
_MEASURED = ("retried", "from_ledger", "cost", "input_tokens", "output_tokens")


def _select(making: _Making, queries: Path, model: Path, stored: Vectors) -> Selection:
    """Every unlabelled pair that passes the filters."""
    config = making.config
    bm25 = build_bm25(making.documents.texts())
    candidates = list(making.candidates(bm25))
    encoder = load_encoder(model)
    protected = [
        text for split in ("dev", "test") for text in read_judgements(queries, split).queries.values()
    ]
    return select_pairs(
        candidates,
        protected=protected,
        row_of=making.documents.row_of,
        encode=lambda texts: encoder.encode_queries(texts, progress=making.job.progress),
        bm25=bm25,
        blocks=stored.blocks,
        limits=FilterThresholds(config.round_trip_k, config.near_identical),
    )


def external(config: Synthesize) -> dict[str, str]:
    """Digest of the query generator's files, read from outside the store."""
    return model_digests(seq2seq=config.seq2seq.model if config.seq2seq else None)


STAGE = Stage("synthesize", "pairs", run, external)

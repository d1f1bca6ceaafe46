"""Split: corpus and labels become ``queries``.

Files: queries.parquet, qrels.parquet, held_out.parquet (documents that may give no training pair),
withheld.parquet (texts without the derived query, see ``embedlib.corpus.derive``), report.json,
rejected.jsonl.

Queries that people wrote come first: their splits are kept, or split off from what there is. A test or
dev split that people's queries cannot fill is derived from documents (title, heading, first sentence).
A derived query stands word for word in its document, so evaluation scores that document by its text in
withheld.parquet, and the document, with all that resembles it, gives no training pairs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from embedlib.artifact import ArtifactRef
from embedlib.config import data as options
from embedlib.contracts import QRELS, QUERIES, Corpus, write_table
from embedlib.corpus import beir
from embedlib.corpus.derive import Derived, derive_queries, parted, resembling, write_withheld
from embedlib.corpus.labels import Labels, Reject, read_log, read_qrels, read_queries
from embedlib.corpus.marks import add_marks
from embedlib.corpus.rejects import FILE, Rejects
from embedlib.corpus.splits import Resolver, SplitFigures, SplitReport, Splits, make_splits
from embedlib.corpus.textfiles import require_file, unreadable
from embedlib.errors import DataError
from embedlib.fingerprint import digest, file_sha256
from embedlib.stages.base import Job, Stage, Summary

logger = logging.getLogger(__name__)

HELD_OUT = pa.schema([("doc_id", pa.string())])
SPLITS = ("train", "dev", "test")
MIN_DOCUMENTS = 2


def run(job: Job, config: options.Split, *, corpus: ArtifactRef) -> Summary:
    """Write the queries and judgements of train, dev and test.

    Raises:
        DataError: Labels that cannot be used, or documents too few to test anything.
    """
    documents = Corpus(corpus.path)
    if len(documents) < MIN_DOCUMENTS:
        raise DataError(
            "one document only: whatever is asked, it is found",
            where=str(corpus.path),
            found=f"{len(documents)} document",
            expected=f"at least {MIN_DOCUMENTS} documents",
            remedy="check ingest.source",
        )
    rng = job.generator("split")
    job.progress(0, None, "labels read")
    with Rejects(job.out / FILE, config.on_bad_row, _origin(config.labels), "split.on_bad_row") as rejects:
        labels = read_labels(config.labels, rejects.add)
        absent = without_judgements(config.labels, labels)
        if absent:
            logger.warning("%s; queries are derived from documents instead", absent)
        resolver = Resolver(corpus.path)
        marks = (
            add_marks(labels, config.marks, resolver, rejects.add) if isinstance(config.marks, Path) else None
        )
        sizes = {"test": config.test_queries, "dev": config.dev_queries}
        near = config.near_duplicate
        divided = make_splits(labels, resolver, rejects.add, rng, sizes=sizes, threshold=near)
    if marks is not None:
        divided.report["marks"] = marks
    if absent:
        divided.report["labels"] = absent
    derived = _derive(documents, divided, labels, config, job)
    held = resembling(documents, [d for found in derived.values() for d in found], near)
    return _write(job.out, divided, labels, derived, held, rejects.count)


def read_labels(labels: options.Labels, reject: Reject) -> Labels:
    """Queries and judgements as the options say where they are.

    Raises:
        DataError: A file is missing.
    """
    match labels:
        case options.AutoLabels():
            folder = options.BeirLabels(path=labels.path)
            return read_labels(folder, reject) if _labelled(labels.path) else Labels()
        case options.BeirLabels():
            queries = read_queries(beir.queries_file(labels.path), reject)
            files = beir.qrels_files(labels.path)
            judgements = {split: read_qrels(path, reject) for split, path in files.items()}
            return Labels(queries, judgements, unread=beir.unread_qrels(labels.path))
        case options.FileLabels():
            judgements = {split: read_qrels(path, reject) for split, path in _qrels_paths(labels).items()}
            return Labels(read_queries(labels.queries, reject), judgements)
        case options.LogLabels():
            names = {"query": labels.query_field, "document": labels.doc_field, "count": labels.count_field}
            return read_log(labels.path, reject, **names, min_count=labels.min_count)
        case options.NoLabels():
            return Labels()


def without_judgements(options_given: options.Labels, labels: Labels) -> str:
    """Why there is no judgement where one would look for some; nothing where there are, or none are meant."""
    if any(labels.judgements.values()):
        return ""
    match options_given:
        case options.AutoLabels(path=path) if beir.is_beir(path) and not beir.has_labels(path):
            names = {"queries.jsonl": beir.has_queries(path), "qrels": bool(beir.qrels_files(path))}
            return f"{path} has no {' and no '.join(name for name, there in names.items() if not there)}"
        case options.NoLabels() | options.AutoLabels() if not labels.queries:
            return ""
        case _:
            return f"{_origin(options_given)} holds no judgement"


def _labelled(path: Path) -> bool:
    return beir.is_beir(path) and beir.has_labels(path)


def _qrels_paths(labels: options.FileLabels) -> dict[str, Path]:
    named = {"": labels.qrels, "train": labels.train, "dev": labels.dev, "test": labels.test}
    return {split: path for split, path in named.items() if path is not None}


def _origin(labels: options.Labels) -> str:
    match labels:
        case options.NoLabels():
            return "no labels"
        case options.FileLabels():
            return str(labels.queries.parent)
        case _:
            return str(labels.path)


def _derive(
    documents: Corpus, divided: Splits, labels: Labels, config: options.Split, job: Job
) -> dict[str, list[Derived]]:
    """Derived queries for test and dev where people's do not fill them; none of documents too short."""
    wanted = {s: n for s, n in derived_sizes(len(documents), config).items() if not divided.qrels.get(s)}
    if not wanted:
        return {}
    job.progress(0, sum(wanted.values()), "queries derived")
    found = derive_queries(
        documents,
        sum(wanted.values()),
        job.generator("split:derive"),
        min_body_words=config.min_body_words,
        threshold=config.near_duplicate,
        taken=[labels.queries[q].text for qrels in divided.qrels.values() for q in qrels],
        avoid={
            documents.ids[row]
            for judged in divided.qrels.get("train", {}).values()
            for doc_id in judged
            for row in documents.rows_of(doc_id)
        },
    )
    if len(found) < len(wanted):
        logger.warning(
            "no %s queries: no labels, and %d documents have %d words beside a title or a first sentence",
            " and no ".join(wanted),
            len(found),
            config.min_body_words,
        )
        return {}
    first = max(1, len(found) * next(iter(wanted.values())) // sum(wanted.values()))
    parts = [found] if len(wanted) == 1 else parted(found, first)
    return dict(zip(wanted, parts, strict=True))


def derived_sizes(documents: int, config: options.Split) -> dict[str, int]:
    """Queries to derive: a fifth of the documents for test, a tenth for dev (small corpora: more)."""
    test = min(config.test_queries, max(documents // 5, min(100, documents // 3), 1))
    dev = min(config.dev_queries, max(documents // 10, min(50, documents // 6), 1))
    return {"test": test, "dev": dev}


def _write(
    out: Path,
    divided: Splits,
    labels: Labels,
    derived: Mapping[str, list[Derived]],
    held: set[str],
    rejected: int,
) -> Summary:
    write_table(out / "queries.parquet", _query_rows(divided, labels, derived), QUERIES)
    write_table(out / "qrels.parquet", _qrels_rows(divided, derived), QRELS)
    write_table(out / "held_out.parquet", ({"doc_id": doc_id} for doc_id in sorted(held)), HELD_OUT)
    write_withheld(out, {d.doc_id: d.withheld for found in derived.values() for d in found})
    report = SplitReport(
        splits={split: _figures(split, divided, labels, derived) for split in SPLITS},
        held_out_documents=len(held),
        rejected=rejected,
        **divided.report,
    )
    report.write(out)
    return {
        **{f"{split}_queries": figures.queries for split, figures in report.splits.items()},
        **{f"{split}_origin": figures.origin for split, figures in report.splits.items() if figures.queries},
        "overlaps_removed": sum(overlap.removed for overlap in report.overlaps.values()),
        "held_out_documents": len(held),
        "rejected": rejected,
        **({"labels": report.labels} if report.labels else {}),
    }


def _figures(
    split: str, divided: Splits, labels: Labels, derived: Mapping[str, list[Derived]]
) -> SplitFigures:
    if found := derived.get(split):
        origin = ", ".join(f"derived:{kind}" for kind in dict.fromkeys(d.kind for d in found))
        return SplitFigures(queries=len(found), judgements=len(found), origin=origin)
    qrels = divided.qrels.get(split, {})
    judgements = sum(len(judged) for judged in qrels.values())
    return SplitFigures(queries=len(qrels), judgements=judgements, origin=labels.origin if qrels else "none")


def _query_rows(
    divided: Splits, labels: Labels, derived: Mapping[str, list[Derived]]
) -> Iterator[dict[str, str | None]]:
    for split in SPLITS:
        rows = [
            (query_id, labels.queries[query_id].text, labels.origin, labels.queries[query_id].label)
            for query_id in sorted(divided.qrels.get(split, {}))
        ]
        rows += [(d.query_id, d.query, f"derived:{d.kind}", None) for d in sorted(derived.get(split, ()))]
        for query_id, text, origin, label in rows:
            yield {"query_id": query_id, "text": text, "split": split, "origin": origin, "label": label}


def _qrels_rows(divided: Splits, derived: Mapping[str, list[Derived]]) -> Iterator[dict[str, Any]]:
    for split in SPLITS:
        judged = dict(sorted(divided.qrels.get(split, {}).items()))
        judged |= {d.query_id: {d.doc_id: 1} for d in sorted(derived.get(split, ()))}
        for query_id, relevances in judged.items():
            for doc_id, relevance in sorted(relevances.items()):
                yield {"query_id": query_id, "doc_id": doc_id, "relevance": relevance, "split": split}


def _external(config: options.Split) -> dict[str, str]:
    try:
        marks = {"marks": file_sha256(config.marks)} if isinstance(config.marks, Path) else {}
        return {**_digests(config.labels), **marks}
    except OSError as error:
        raise unreadable(error) from error


def _digests(labels: options.Labels) -> dict[str, str]:
    match labels:
        case options.AutoLabels() if not _labelled(labels.path):
            return {"labels": "none"}
        case options.NoLabels():
            return {"labels": "none"}
        case options.AutoLabels() | options.BeirLabels():
            files = {s: file_sha256(p) for s, p in beir.qrels_files(labels.path).items()}
            unread = beir.unread_qrels(labels.path)
            return {"labels": digest([file_sha256(beir.queries_file(labels.path)), files, unread])}
        case options.FileLabels():
            paths = {"queries": labels.queries, **_qrels_paths(labels)}
            return {"labels": digest({name: file_sha256(require_file(path)) for name, path in paths.items()})}
        case options.LogLabels():
            return {"labels": digest([labels.path.name, file_sha256(require_file(labels.path))])}


STAGE = Stage("split", "queries", run, external=_external)

"""Ingest: a source becomes a ``corpus``.

Files: corpus.parquet, chunks.parquet (the document that each chunk was cut from), aliases.parquet (ids of
dropped duplicates), profile.json, rejected.jsonl, samples.json.
"""

from __future__ import annotations

from pathlib import Path

from embedlib.config.data import Ingest
from embedlib.contracts import Corpus
from embedlib.corpus.build import ReadCounts, build_corpus
from embedlib.corpus.chunk import Cutter
from embedlib.corpus.duplicates import near_duplicates
from embedlib.corpus.profile import CorpusProfile, check_limits, sample_rows, text_figures
from embedlib.corpus.rejects import FILE, Rejects
from embedlib.corpus.textfiles import unreadable
from embedlib.corpus.tokens import TokenCounter, tokenizer_files
from embedlib.errors import DataError
from embedlib.fingerprint import tree_digest
from embedlib.json_file import SAMPLES, write_json
from embedlib.models.resolve import resolve_model
from embedlib.stages.base import Job, Stage, Summary
from embedlib.stages.sources import Opened, named, open_source, require_readers, source_digest

SHOWN = 10
#: Figures of the profile that the run shows.
COUNTS = {
    *("documents", "records", "rejected", "empty", "ignored"),
    *("cut", "duplicates", "duplicates_dropped"),
}


def run(job: Job, config: Ingest) -> Summary:
    """Read the source and write the corpus and its profile.

    Raises:
        DataError: Nothing to read, a bad row (where bad rows end the run), or a limit passed.
    """
    documents = named(config.source)
    if config.on_bad_row != "skip":
        require_readers(documents)
    source = open_source(documents, int(config.max_document_mb * 1e6), config.files)
    on_bad_row = ("skip" if source.files else "fail") if config.on_bad_row == "auto" else config.on_bad_row
    counter = TokenCounter(Path(resolve_model(config.tokenizer)))
    cuts = config.chunk.mode == "on" or (config.chunk.mode == "auto" and source.files)
    chunk = config.chunk
    with Rejects(job.out / FILE, on_bad_row, source.origin, "ingest.on_bad_row") as rejects:
        counts = build_corpus(
            source.items,
            job.out,
            job.scratch,
            rejects=rejects,
            drop_duplicates=config.duplicates == "drop"
            or (config.duplicates == "auto" and not source.labelled),
            cut=Cutter(counter, chunk.max_tokens, chunk.overlap_tokens) if cuts else None,
            max_characters=int(config.max_document_mb * 1e6),
            progress=job.progress,
        )
    _require_documents(counts, rejects, source)
    near = near_duplicates(
        job.out,
        threshold=config.near_duplicates.threshold,
        action=config.near_duplicates.action,
        max_documents=config.near_duplicates.max_documents,
        progress=job.progress,
    )
    corpus = Corpus(job.out)
    texts = text_figures(corpus, counter, progress=job.progress)
    profile = CorpusProfile(
        documents=len(corpus),
        records=counts.records,
        rejected=rejects.count,
        empty=rejects.empty,
        ignored=rejects.ignored,
        cut=counts.cut,
        duplicates=counts.duplicates,
        duplicates_dropped=counts.dropped,
        without_title=counts.empty_titles,
        title_only=counts.title_only,
        near_duplicates=near,
        left_out=rejects.files() if source.files else None,
        **texts._asdict(),
    )
    _check(config, profile, source.origin)
    profile.write(job.out)
    shown = corpus.take(sample_rows(len(corpus), SHOWN))
    rows = [{"doc_id": d.doc_id, "title": d.title, "text": d.text[:500]} for d in shown]
    write_json(job.out / SAMPLES, rows)
    return _summary(profile, source)


def _require_documents(counts: ReadCounts, rejects: Rejects, source: Opened) -> None:
    if not counts.documents:
        raise DataError(
            "no document with text",
            where=source.origin,
            expected="at least one",
            found=f"{counts.records} rows read, {rejects.count} rejected, {rejects.empty} empty",
            remedy="check the path and ingest.source.fields",
        )


def _check(config: Ingest, profile: CorpusProfile, where: str) -> None:
    limits = config.limits
    cut_or_trust = "set ingest.chunk.mode=on, choose a model that reads more, or raise the limit"
    check_limits(
        [
            ("truncated_share", profile.tokens.truncated_share, limits.truncated_share, cut_or_trust),
            (
                "duplicate_share",
                profile.duplicates / max(profile.documents + profile.duplicates_dropped, 1),
                limits.duplicate_share,
                "mend the source, or raise the limit",
            ),
            (
                "rejected_share",
                profile.rejected / max(profile.records, 1),
                limits.rejected_share,
                "look into ingest.source.fields and encoding, or raise the limit",
            ),
        ],
        where,
    )


def _summary(profile: CorpusProfile, source: Opened) -> Summary:
    return {
        "source": source.origin,
        **profile.model_dump(include=COUNTS),
        "near_duplicates": profile.near_duplicates.documents,
        "truncated_share": profile.tokens.truncated_share,
        "mean_tokens": profile.tokens.mean,
    }


def _external(config: Ingest) -> dict[str, str]:
    folder = Path(resolve_model(config.tokenizer))
    try:
        tokenizer = tree_digest(folder, tokenizer_files(folder))
        return {"source": source_digest(named(config.source)), "tokenizer": tokenizer}
    except OSError as error:
        raise unreadable(error) from error


STAGE = Stage("ingest", "corpus", run, external=_external)

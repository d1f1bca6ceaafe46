"""From a stream of records to a corpus: cleaned, cut, without duplicates, sorted by id, memory flat."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from embedlib.contracts import CHUNKS, CHUNKS_FILE, CORPUS, content_hash, read_rows, write_table
from embedlib.corpus.clean import clean, clean_title
from embedlib.corpus.identity import CLAIMS, Claim, Settled, settle
from embedlib.corpus.markup import unmarked
from embedlib.corpus.records import Item, Record, Rejected
from embedlib.corpus.rejects import Rejects
from embedlib.corpus.sorting import ExternalSorter
from embedlib.progress import Progress, silent

_TEXTS = ("doc_id", "title", "text", "source", "group_id", "hash", "metadata", "document")
_ROWS = pa.schema([*((name, pa.string()) for name in _TEXTS), ("record", pa.int64())])
ALIASES_SCHEMA = pa.schema([("doc_id", pa.string()), ("kept", pa.string())])
_PLACE = re.compile(r":(?:row )?\d+$")
ALIASES = "aliases.parquet"


class Piece(NamedTuple):
    """A part of a document: its heading, its text, and the page on which it begins (0: no pages)."""

    heading: str
    text: str
    page: int = 0


Cut = Callable[[str, str], list[Piece]]


class _Row(NamedTuple):
    """A document or a chunk; ``document`` is the id of what it was cut from, its own when it is whole."""

    doc_id: str
    title: str
    text: str
    source: str
    group_id: str
    content_hash: str
    metadata: str
    document: str
    record: int


@dataclass
class ReadCounts:
    """What was read and what became of it."""

    records: int = 0
    documents: int = 0
    cut: int = 0
    duplicates: int = 0
    dropped: int = 0
    empty_titles: int = 0
    title_only: int = 0
    empty_ids: list[str] = field(default_factory=list)


def build_corpus(
    items: Iterable[Item],
    folder: Path,
    scratch: Path,
    *,
    rejects: Rejects,
    drop_duplicates: bool,
    cut: Cut | None = None,
    max_characters: int | None = None,
    progress: Progress = silent,
) -> ReadCounts:
    """Write ``corpus.parquet``, ``aliases.parquet`` and, where documents were cut, ``chunks.parquet``.

    Args:
        items: Records and rejected rows in any order.
        folder: Where the files are written.
        scratch: Where sorted runs are spilled.
        rejects: Takes rows that cannot be used.
        drop_duplicates: Keep the first id only of documents with equal title and text; the others
            become aliases of it, which labels follow.
        cut: Cuts a document (title, text) into pieces; None keeps documents whole.
        max_characters: Longer texts are rejected.
        progress: Progress callback: rows read and written.

    Returns:
        Counts of what was read and what became of it.

    Raises:
        DataError: A bad row, where bad rows end the run.
    """
    counts = ReadCounts()
    rows, claims = ExternalSorter(scratch / "rows", _ROWS), ExternalSorter(scratch / "ids", CLAIMS, 16)
    for row, wanted in _prepared(_of_length(items, max_characters), rejects, cut, counts, progress):
        rows.add(row)
        for claim in wanted:
            claims.add(claim)
    settled = settle(claims, scratch / "contents", rejects, drop_duplicates=drop_duplicates)
    counts.duplicates, counts.dropped = settled.duplicates, len(settled.dropped)
    chunks = ExternalSorter(scratch / "chunks", CHUNKS)
    kept = _kept(map(_Row._make, rows), settled, chunks, counts.records, progress)
    counts.documents = write_table(folder / "corpus.parquet", kept, CORPUS)
    write_chunks(folder, chunks)
    write_aliases(folder, dict.fromkeys(counts.empty_ids, "") | settled.dropped)
    for sorter in (rows, claims, chunks):
        sorter.close()
    return counts


def write_chunks(folder: Path, chunks: Iterable[tuple[str, str]]) -> None:
    """Write ``chunks.parquet``: (chunk, document that it was cut from), sorted; no file without chunks."""
    path = folder / CHUNKS_FILE
    if not write_table(path, ({"doc_id": c, "document_id": d} for c, d in chunks), CHUNKS):
        path.unlink()


def write_aliases(folder: Path, kept: Mapping[str, str]) -> None:
    """Write ``aliases.parquet``: ids that were left out → the id kept in their place, or nothing."""
    rows = ({"doc_id": doc_id, "kept": kept[doc_id]} for doc_id in sorted(kept))
    write_table(folder / ALIASES, rows, ALIASES_SCHEMA)


def read_aliases(folder: Path) -> dict[str, str]:
    """Ids that were left out of a corpus → the id kept in their place; empty for documents without text."""
    return {row["doc_id"]: row["kept"] for row in read_rows(folder / ALIASES)}


def _prepared(
    items: Iterable[Item], rejects: Rejects, cut: Cut | None, counts: ReadCounts, progress: Progress
) -> Iterator[tuple[_Row, list[Claim]]]:
    """Cleaned rows in the order read, documents cut where ``cut`` is given, and the ids they want."""
    for item in items:
        if isinstance(item, Rejected) and item.ignored:
            rejects.pass_over(item)
            continue
        counts.records += 1
        if counts.records % 1000 == 0:
            progress(counts.records, None, "documents read")
        if isinstance(item, Rejected):
            rejects.add(item)
            continue
        title, text = clean_title(item.title), clean(item.text)
        if not text and not title:
            rejects.leave_out(Rejected(item.where, f"document {item.doc_id!r} has no text"))
            if item.doc_id:
                counts.empty_ids.append(item.doc_id)
            continue
        counts.title_only += not text
        counts.empty_titles += not title
        if not text:
            title, text = "", title
        yield from _rows(item, title, text, cut, counts)


def _of_length(items: Iterable[Item], longest: int | None) -> Iterator[Item]:
    for item in items:
        if longest and isinstance(item, Record) and len(item.text) > longest:
            yield Rejected(item.where, f"a text of {len(item.text)} characters (ingest.max_document_mb)")
        else:
            yield item


def _rows(
    item: Record, title: str, text: str, cut: Cut | None, counts: ReadCounts
) -> Iterator[tuple[_Row, list[Claim]]]:
    source, number = _PLACE.sub("", item.where), counts.records
    pieces = cut(title, text) if cut else []
    text = unmarked(text)
    content = content_hash(title, text)
    document = item.doc_id or content[:16]
    group = item.group_id or document
    own = Claim(document, number, item.where, content)
    if len(pieces) <= 1:
        page = next((piece.page for piece in pieces), 0)
        metadata = json.dumps({**item.metadata, **({"page": page} if page else {})})
        yield _Row(document, title, text, source, group, content, metadata, document, number), [own]
        return
    counts.cut += 1
    for part, piece in enumerate(pieces, start=1):
        chunk = f"{document}#{part:04d}"
        place = {"heading": piece.heading, "part": part, **({"page": piece.page} if piece.page else {})}
        metadata = json.dumps({**item.metadata, **place})
        hashed = content_hash(title, piece.text)
        row = _Row(chunk, title, piece.text, source, group, hashed, metadata, document, number)
        claim = Claim(chunk, number, item.where)
        yield row, [own, claim] if part == 1 else [claim]


def _kept(
    rows: Iterable[_Row], settled: Settled, chunks: ExternalSorter, total: int, progress: Progress
) -> Iterator[dict[str, str]]:
    """Rows by id without those refused or dropped; notes in ``chunks`` what each chunk was cut from."""
    written = 0
    for row in rows:
        if row.record in settled.refused or row.document in settled.dropped:
            continue
        if row.doc_id != row.document:
            chunks.add((row.doc_id, row.document))
        written += 1
        if written % 5000 == 0:
            progress(written, total, "documents written")
        yield {name: getattr(row, name) for name in CORPUS.names}

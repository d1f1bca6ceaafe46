"""From a stream of records to a corpus: cleaned, cut, without duplicates, sorted by id, memory flat."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from embedlib.contracts import CORPUS, content_hash, read_rows, write_table
from embedlib.corpus.clean import clean, clean_title
from embedlib.corpus.markup import unmarked
from embedlib.corpus.records import Item, Record, Rejected
from embedlib.corpus.rejects import Rejects
from embedlib.corpus.sorting import ExternalSorter
from embedlib.progress import Progress, silent

_TEXT = pa.string()
_ROWS = pa.schema(
    [(n, _TEXT) for n in ("doc_id", "title", "text", "source", "group_id", "hash", "metadata", "where")]
)
_HASHES = pa.schema([("hash", _TEXT), ("doc_id", _TEXT)])
ALIASES_SCHEMA = pa.schema([("doc_id", _TEXT), ("kept", _TEXT)])
_PLACE = re.compile(r":(?:row )?\d+$")
ALIASES = "aliases.parquet"


class Piece(NamedTuple):
    """A part of a document: its heading, if any, and its text."""

    heading: str
    text: str


Cut = Callable[[str, str], list[Piece]]


@dataclass
class Counts:
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
) -> Counts:
    """Write ``corpus.parquet`` and ``aliases.parquet``.

    Args:
        items: Records and rejected rows in any order.
        folder: Where the files are written.
        scratch: Where sorted runs are spilled.
        rejects: Takes rows that cannot be used.
        drop_duplicates: Keep the first id only of documents with equal title and text; the others
            become aliases of it, which labels follow.
        cut: Cuts a document (title, text) into pieces; None keeps documents whole.
        max_characters: Longer texts are rejected.
        progress: Told of rows read and written.

    Returns:
        Counts of what was read and what became of it.

    Raises:
        DataError: A bad row, where bad rows end the run.
    """
    counts = Counts()
    rows, hashes = ExternalSorter(scratch / "rows", _ROWS), ExternalSorter(scratch / "hashes", _HASHES, 16)
    for row in _prepared(_of_length(items, max_characters), rejects, cut, counts, progress):
        rows.add(row)
        hashes.add((row[5], row[0]))
    dropped = _duplicates(hashes, counts, drop_duplicates)
    unique = _unique(rows, dropped, rejects, counts)
    counts.documents = write_table(folder / "corpus.parquet", _reported(unique, counts, progress), CORPUS)
    counts.dropped = len(dropped)
    write_aliases(folder, dict.fromkeys(counts.empty_ids, "") | dropped)
    rows.close()
    hashes.close()
    return counts


def write_aliases(folder: Path, kept: Mapping[str, str]) -> None:
    """Write ``aliases.parquet``: ids that were left out → the id kept in their place, or nothing."""
    rows = ({"doc_id": doc_id, "kept": kept[doc_id]} for doc_id in sorted(kept))
    write_table(folder / ALIASES, rows, ALIASES_SCHEMA)


def read_aliases(folder: Path) -> dict[str, str]:
    """Ids that were left out of a corpus → the id kept in their place; empty for documents without text."""
    return {row["doc_id"]: row["kept"] for row in read_rows(folder / ALIASES)}


def _prepared(
    items: Iterable[Item], rejects: Rejects, cut: Cut | None, counts: Counts, progress: Progress
) -> Iterator[tuple[str, ...]]:
    """Cleaned rows in the order read, documents cut where ``cut`` is given."""
    for item in items:
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


def _rows(item: Record, title: str, text: str, cut: Cut | None, counts: Counts) -> Iterator[tuple[str, ...]]:
    source = _PLACE.sub("", item.where)
    pieces = cut(title, text) if cut else []
    if len(pieces) <= 1:
        text = unmarked(text)
        hashed = content_hash(title, text)
        doc_id = item.doc_id or hashed[:16]
        metadata = json.dumps(item.metadata) if item.metadata else "{}"
        yield (doc_id, title, text, source, item.group_id or doc_id, hashed, metadata, item.where)
        return
    counts.cut += 1
    parent = item.doc_id or content_hash(title, text)[:16]
    for number, piece in enumerate(pieces, start=1):
        metadata = json.dumps({**item.metadata, "heading": piece.heading, "part": number})
        hashed = content_hash(title, piece.text)
        group = item.group_id or parent
        yield (f"{parent}#{number:04d}", title, piece.text, source, group, hashed, metadata, item.where)


def _duplicates(hashes: Iterable[tuple[Any, ...]], counts: Counts, drop: bool) -> dict[str, str]:
    """Ids to drop → the id kept in their place; counts them either way."""
    dropped: dict[str, str] = {}
    for _, group in groupby(hashes, key=itemgetter(0)):
        ids = sorted({doc_id for _, doc_id in group})
        counts.duplicates += len(ids) - 1
        if drop:
            dropped.update(dict.fromkeys(ids[1:], ids[0]))
    return dropped


def _unique(
    rows: Iterable[tuple[Any, ...]], dropped: dict[str, str], rejects: Rejects, counts: Counts
) -> Iterator[dict[str, str]]:
    """Rows by id, duplicates left out; a second row of an id is rejected unless its content made the id."""
    last: tuple[Any, ...] = ("",) * len(_ROWS)
    for row in rows:
        doc_id, title, text, source, group, hashed, metadata, where = row
        if doc_id == last[0]:
            if hashed == last[5] and doc_id == hashed[:16]:
                counts.duplicates += 1
            else:
                rejects.add(Rejected(where, f"duplicate id {doc_id!r} (first at {last[7]})"))
            continue
        last = row
        if doc_id not in dropped:
            yield {
                "doc_id": doc_id,
                "title": title,
                "text": text,
                "source": source,
                "group_id": group,
                "content_hash": hashed,
                "metadata": metadata,
            }


def _reported(rows: Iterable[dict[str, str]], counts: Counts, progress: Progress) -> Iterator[dict[str, str]]:
    for number, row in enumerate(rows, start=1):
        if number % 5000 == 0:
            progress(number, counts.records, "documents written")
        yield row

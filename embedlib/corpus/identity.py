"""Which of the records read become documents: the first of each id, then the first of each content."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from embedlib.corpus.records import Rejected
from embedlib.corpus.rejects import Rejects
from embedlib.corpus.sorting import ExternalSorter

CLAIMS = pa.schema(
    [("doc_id", pa.string()), ("record", pa.int64()), ("where", pa.string()), ("content", pa.string())]
)
_CONTENTS = pa.schema([("content", pa.string()), ("doc_id", pa.string())])


class Claim(NamedTuple):
    """An id that a record wants: its document's, or a chunk's.

    Args:
        doc_id: The id.
        record: Number of the record in the order read.
        where: Its file and line.
        content: Hash of the document's title and text; empty for a chunk's id.
    """

    doc_id: str
    record: int
    where: str
    content: str = ""


class Settled(NamedTuple):
    """Records whose id was taken, documents left out → the one kept, and how many repeat a content."""

    refused: set[int]
    dropped: dict[str, str]
    duplicates: int


def settle(claims: ExternalSorter, scratch: Path, rejects: Rejects, *, drop_duplicates: bool) -> Settled:
    """Refuse every record that wants an id already taken, then find equal contents among the others.

    Ids are settled before contents are compared: a row that is refused can be no reason to leave out another.

    Args:
        claims: Every ``Claim``, by ``CLAIMS``.
        scratch: Where sorted runs are spilled.
        rejects: Callback for each refused record, unless the id was made from the very same content.
        drop_duplicates: Keep the first id only of documents with equal content.

    Raises:
        DataError: An id stands twice, where bad rows end the run.
    """
    refused: set[int] = set()
    repeated = 0
    for first, claim in _taken_ids(claims):
        if claim.record in refused:
            continue
        refused.add(claim.record)
        if claim.content and claim.content == first.content and claim.doc_id == claim.content[:16]:
            repeated += 1
        else:
            reason = f"duplicate id {claim.doc_id!r} (first at {first.where})"
            rejects.add(Rejected(claim.where, reason))
    contents = ExternalSorter(scratch, _CONTENTS, 16)
    for claim in map(Claim._make, claims):
        if claim.content and claim.record not in refused:
            contents.add((claim.content, claim.doc_id))
    dropped, alike = _equal_contents(contents, drop_duplicates)
    contents.close()
    return Settled(refused, dropped, repeated + alike)


def _taken_ids(claims: ExternalSorter) -> Iterator[tuple[Claim, Claim]]:
    """(first claim, later claim) of the same id by another record."""
    first = Claim("", 0, "")
    for claim in map(Claim._make, claims):
        if claim.doc_id != first.doc_id:
            first = claim
        elif claim.record != first.record:
            yield first, claim


def _equal_contents(contents: Iterable[tuple[str, str]], drop: bool) -> tuple[dict[str, str], int]:
    """Ids to drop → the id kept in their place, and how many repeat an earlier content."""
    dropped: dict[str, str] = {}
    count = 0
    for _, group in groupby(contents, key=itemgetter(0)):
        ids = sorted(doc_id for _, doc_id in group)
        count += len(ids) - 1
        if drop:
            dropped.update(dict.fromkeys(ids[1:], ids[0]))
    return dropped, count

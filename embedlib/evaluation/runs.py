"""TREC run files: ``query_id Q0 doc_id rank score tag``, one hit a line."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import IO

from embedlib.errors import DataError
from embedlib.evaluation.measures import Run, ranked


def write_run(stream: IO[str], run: Mapping[str, Mapping[str, float]], tag: str) -> None:
    """Append a run's hits by query, each query's ordered by (-score, doc_id).

    Scores are written so that they read back as the same float32.
    """
    for query_id, documents in run.items():
        for rank, doc_id in enumerate(ranked(documents), 1):
            stream.write(f"{query_id} Q0 {doc_id} {rank} {documents[doc_id]:.9g} {tag}\n")


def read_run(
    path: Path, *, queries: Collection[str] | None = None, documents: Collection[str] | None = None
) -> Run:
    """Read a TREC run file.

    Ids are not checked where ``queries`` or ``documents`` is None.

    Raises:
        DataError: A line is malformed, an id is unknown, a score is not finite, or a document
            stands twice for one query; the line is named.
    """
    run: Run = {}
    for where, query_id, doc_id, score in _lines(path):
        if queries is not None and query_id not in queries:
            raise DataError(f"unknown query {query_id!r} in a run file", where=where)
        if documents is not None and doc_id not in documents:
            raise DataError(f"unknown document {doc_id!r} in a run file", where=where)
        found = run.setdefault(query_id, {})
        if doc_id in found:
            raise DataError(f"document {doc_id!r} has two ranks for query {query_id!r}", where=where)
        found[doc_id] = score
    if not run:
        raise DataError(
            "a run file without a hit", where=str(path), expected="query_id Q0 doc_id rank score tag"
        )
    return run


def _lines(path: Path) -> Iterator[tuple[str, str, str, float]]:
    try:
        stream = path.open(encoding="utf-8")
    except OSError as error:
        raise DataError("a run file cannot be read", where=str(path), found=error.strerror or "") from error
    with stream:
        lines = _decoded(stream, path)
        for number, line in enumerate(lines, 1):
            parts, where = line.split(), f"{path}, line {number}"
            if not parts:
                continue
            try:
                query_id, _, doc_id, _, text, *_ = parts
                score = float(text)
            except ValueError as error:
                expected = "query_id Q0 doc_id rank score tag"
                raise DataError(
                    "a malformed line in a run file", where=where, expected=expected, found=line.strip()
                ) from error
            if not math.isfinite(score):
                raise DataError("a run's score is not finite", where=where, found=text)
            yield where, query_id, doc_id, score


def _decoded(stream: IO[str], path: Path) -> Iterator[str]:
    try:
        yield from stream
    except UnicodeDecodeError as error:
        raise DataError(
            "a run file that is not UTF-8", where=str(path), found=f"byte 0x{error.object[error.start]:02x}"
        ) from None

"""Files that the outside world appends to: the log of real queries, and fresh labels."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from embedlib.corpus.tabular import DELIMITERS
from embedlib.errors import DataError

TAIL_BYTES = 16 << 20


class Label(NamedTuple):
    """A query and a document that answers it, as clicked or judged by somebody."""

    query: str
    doc_id: str
    relevance: int = 1


def read_query_log(path: Path, last: int) -> list[str]:
    """The last ``last`` distinct queries of a log, oldest first; at most its last 16 MiB are read.

    Args:
        path: One query a line (``.txt``, ``.log``), JSON lines (``query`` or ``text``), or a CSV or TSV
            with a ``query`` or ``text`` column; or a folder of JSON lines, the latest file last by name.
        last: Maximum number to return.

    Raises:
        DataError: The file is missing or a line is not what its ending says.
    """
    latest: dict[str, None] = {}
    for where, row in _tail(path) if not path.is_dir() else _tails(path):
        query = str(_field(row, ("query", "text"), where)).strip()
        if query:
            latest.pop(query, None)
            latest[query] = None
    return list(latest)[-last:] if last else []


def read_labels(path: Path, last: int) -> list[Label]:
    """The last ``last`` labels of a JSON-lines, CSV or TSV file with ``query`` and ``doc_id``
    (``relevance`` optional, 1 by default).

    Raises:
        DataError: The file is missing, a line is not readable, or a relevance is not a whole number >= 0.
    """
    labels = []
    for where, row in _tail(path):
        query, doc_id = str(_field(row, ("query", "text"), where)), str(_field(row, ("doc_id",), where))
        found = row.get("relevance", 1)
        try:
            relevance = float(str(found))
        except ValueError:
            relevance = -1.0
        if not relevance.is_integer() or relevance < 0:
            raise DataError(
                "a label's relevance is not a whole number", where=where, expected=">= 0", found=str(found)
            )
        labels.append(Label(query.strip(), doc_id, int(relevance)))
    return labels[-last:] if last else []


def _tails(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The lines of the latest files of a folder, as many files as hold 16 MiB.

    Servers write them: a line that one died over is passed over.
    """
    chosen: list[Path] = []
    size = 0
    for path in sorted(folder.glob("*.jsonl"), reverse=True):
        if size < TAIL_BYTES:
            chosen.append(path)
            size += path.stat().st_size
    for path in reversed(chosen):
        yield from _tail(path, torn=True)


def _tail(path: Path, torn: bool = False) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, fields) of each line among the last 16 MiB, whole lines only."""
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            header = stream.readline() if path.suffix in (".csv", ".tsv") else b""
            if size - stream.tell() > TAIL_BYTES:
                stream.seek(size - TAIL_BYTES)
                stream.readline()
            text = (header + stream.read()).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            "a log that monitoring should read is missing or not UTF-8",
            where=str(path),
            found=str(error),
            remedy="correct monitor.query_log or monitor.labels",
        ) from error
    yield from _parsed(path, list(io.StringIO(text, newline=None)), torn)


def _parsed(path: Path, lines: list[str], torn: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    if path.suffix in (".csv", ".tsv"):
        delimiter = "\t" if path.suffix == ".tsv" else max(DELIMITERS, key="".join(lines[:1]).count)
        reader = csv.DictReader(lines, delimiter=delimiter, restkey="values beyond the header")
        yield from ((f"{path}:{reader.line_num}", row) for row in reader)
        return
    for number, line in enumerate(lines, 1):
        where = f"{path}, line {number} of the part read"
        if not line.strip():
            continue
        if path.suffix not in (".jsonl", ".json", ".ndjson"):
            yield where, {"query": line.rstrip("\n")}
            continue
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            if torn or number == len(lines):  # the writer is in the middle of it
                continue
            raise DataError("not a JSON line", where=where, found=str(error)) from error
        if not isinstance(row, dict):
            raise DataError("not a JSON object", where=where, found=type(row).__name__)
        yield where, row


def _field(row: dict[str, Any], names: tuple[str, ...], where: str) -> Any:
    for name in names:
        if row.get(name) is not None:
            return row[name]
    raise DataError(
        f"a line without {' or '.join(names)}", where=where, expected=" or ".join(names), found=", ".join(row)
    )

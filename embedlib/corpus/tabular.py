"""Documents from JSONL, CSV and Parquet files, one row at a time."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from embedlib.corpus.records import FieldNames, Item, Rejected, require_once, rows_to_items, to_record
from embedlib.corpus.textfiles import read_lines, require_file
from embedlib.errors import DataError, first_line

DELIMITERS = ",\t;|"


def read_jsonl(path: Path, names: FieldNames, *, encoding: str, max_bytes: int) -> Iterator[Item]:
    """Documents of a file with one JSON object a line; empty lines are passed over.

    Raises:
        DataError: The file is not there.
    """
    return rows_to_items(json_rows(path, encoding=encoding, max_bytes=max_bytes), names, str(path))


def json_rows(
    path: Path, *, encoding: str = "utf-8", max_bytes: int
) -> Iterator[tuple[str, dict[str, Any] | Rejected]]:
    """(file:line, the line's JSON object, or why it is none)."""
    for number, line in read_lines(path, encoding=encoding, max_bytes=max_bytes):
        where = f"{path.name}:{number}"
        if isinstance(line, Rejected):
            yield where, line
        elif line and not line.isspace():
            yield where, _json_object(line, where)


def _json_object(line: str, where: str) -> dict[str, Any] | Rejected:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        return Rejected(where, f"not JSON: {error.msg} at column {error.colno}")
    except RecursionError:
        return Rejected(where, "not JSON that can be read: nested too deeply")
    except ValueError as error:
        return Rejected(where, f"not JSON that can be read: {error}")
    return (
        value if isinstance(value, dict) else Rejected(where, f"a JSON {type(value).__name__}, not an object")
    )


def read_csv(
    path: Path, names: FieldNames, *, encoding: str, max_bytes: int, delimiter: str = ""
) -> Iterator[Item]:
    """Documents of a CSV file with a header; ragged rows are rejected by line.

    Raises:
        DataError: The file or the text column is not there, or the header names a column twice.
    """
    mapped = None
    rows = csv_rows(path, encoding=encoding, max_bytes=max_bytes, delimiter=delimiter)
    for where, row in rows:
        if isinstance(row, Rejected):
            yield row
            continue
        mapped = mapped or names.resolve(list(row), str(path))
        yield to_record(row, mapped, where)


def csv_rows(
    path: Path, *, encoding: str = "utf-8", max_bytes: int, delimiter: str = ""
) -> Iterator[tuple[str, dict[str, str] | Rejected]]:
    """(file:line, the row by column, or why it is none); quoted fields may span lines.

    Raises:
        DataError: The header is missing or names a column twice.
    """
    csv.field_size_limit(max_bytes)
    refused: list[Rejected] = []
    lines = _usable_lines(path, encoding, max_bytes, refused)
    first = next(lines, "")
    delimiter = delimiter or max(DELIMITERS, key=first.count)
    header = _header(path, first, delimiter)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        begins = reader.line_num + 2
        where = f"{path.name}:{begins}"
        try:
            row = next(reader, None)
        except csv.Error as error:
            for number in range(begins, reader.line_num + 2):  # an open quote swallows many lines
                more = f" (of a row that begins in line {begins})" if number > begins else ""
                yield where, Rejected(f"{path.name}:{number}", f"not CSV: {error}{more}")
            continue
        yield from ((r.where, r) for r in refused)
        refused.clear()
        if row is None:
            return
        if row and len(row) != len(header):
            yield where, Rejected(where, f"{len(row)} values in a row for {len(header)} columns")
        elif row:
            yield where, dict(zip(header, row, strict=True))


def _usable_lines(path: Path, encoding: str, max_bytes: int, refused: list[Rejected]) -> Iterator[str]:
    """Lines for the CSV reader; an empty one in the place of each refused one keeps its count right."""
    for _, line in read_lines(path, encoding=encoding, max_bytes=max_bytes):
        if isinstance(line, Rejected):
            refused.append(line)
            yield "\n"
        else:
            yield line + "\n"


def _header(path: Path, line: str, delimiter: str) -> list[str]:
    try:
        names = [name.strip() for name in next(csv.reader([line], delimiter=delimiter), [])]
    except (csv.Error, TypeError, ValueError) as error:
        raise DataError(
            "the header cannot be read",
            where=f"{path}:1",
            expected="names separated by one character",
            found=f"{error!s}: {line.strip()[:100]!r}",
            remedy="set ingest.source.delimiter to one character, or mend the header line",
        ) from None
    twice = sorted({name for name in names if names.count(name) > 1})
    if not any(names) or twice:
        raise DataError(
            f"the header names {', '.join(map(repr, twice))} twice" if twice else "no header",
            where=f"{path}:1",
            expected="a first line that names each column once",
            found=line.strip() or "an empty file",
            remedy="add or mend the header line",
        )
    return names


def read_parquet(path: Path, names: FieldNames) -> Iterator[Item]:
    """Documents of a Parquet file, a few thousand rows in memory at a time.

    Raises:
        DataError: The file is not there or not Parquet, or a column is missing or of a wrong type.
    """
    with _open_parquet(path) as file:
        schema = file.schema_arrow
        mapped = names.resolve(schema.names, str(path))
        require_once(schema.names, mapped.columns, str(path))
        for column in (mapped.text, mapped.title):
            if column and not _is_text(schema.field(column).type):
                raise DataError(
                    f"column {column!r} holds no text",
                    where=str(path),
                    expected="string",
                    found=str(schema.field(column).type),
                    remedy="name another column in ingest.source.fields, or cast it",
                )
        number = 0
        try:
            for block in file.iter_batches(batch_size=4096, columns=mapped.columns):
                for row in block.to_pylist():
                    number += 1
                    yield to_record(row, mapped, f"{path.name}:row {number}")
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            where = f"{path.name}:row {number + 1}"
            yield Rejected(where, f"the file breaks off: {first_line(error)}")


def _open_parquet(path: Path) -> Any:
    try:
        return pq.ParquetFile(require_file(path))
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{path.name!r} is no Parquet file", where=str(path), found=first_line(error)
        ) from error


def _is_text(kind: Any) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))

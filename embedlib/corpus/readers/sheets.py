"""Excel workbooks: one section per sheet, one line per row that names its columns."""

from __future__ import annotations

import datetime
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from embedlib.corpus.markup import MARK
from embedlib.corpus.readers.file import File
from embedlib.corpus.readers.packages import require_package
from embedlib.corpus.records import Item, Record, Unreadable


def read_sheets(file: File) -> Iterator[Item]:
    """One document; formulas are read as the values that were last computed."""
    from openpyxl import load_workbook

    require_package(file, "xl/workbook.xml")
    book = load_workbook(io.BytesIO(file.data), read_only=True, data_only=True)
    parts: list[str] = []
    characters = 0
    for sheet in book.worksheets:
        sheet.reset_dimensions()
        lines = []
        for line in _lines(sheet.iter_rows(values_only=True)):
            lines.append(line)
            characters += len(line)
            if characters > file.bounds.max_characters:
                raise Unreadable(f"too large: more than {file.bounds.max_characters} characters of text")
        if lines:
            parts += [f"{MARK} {sheet.title}", "\n".join(lines)]
    title = " ".join((book.properties.title or "").split())
    if not parts:
        raise Unreadable("empty: no cell holds a value")
    yield Record(file.name, title or file.spoken, "\n\n".join(parts), file.name)


def _lines(rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """A line per row; the first row that has only texts, and more than one, names the columns."""
    names: list[str] | None = None
    for row in rows:
        cells = [_cell(value) for value in row]
        filled = [cell for cell in cells if cell]
        if not filled:
            continue
        if names is None and len(filled) > 1:
            header = all(isinstance(value, str) for value in row if value is not None)
            names = cells if header else []
            if header:
                yield " | ".join(filled)
                continue
        yield "; ".join(_named(names or [], place, cell) for place, cell in enumerate(cells) if cell)


def _named(names: Sequence[str], place: int, cell: str) -> str:
    name = names[place] if place < len(names) else ""
    return f"{name}: {cell}" if name else cell


def _cell(value: Any) -> str:
    """A value as a person reads it.

    >>> _cell(2.50), _cell(datetime.datetime(2024, 5, 1)), _cell(None), _cell(True)
    ('2.5', '2024-05-01', '', 'yes')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, datetime.datetime):
        return value.date().isoformat() if value.time() == datetime.time() else value.isoformat(" ")
    return " ".join(str(value).split())

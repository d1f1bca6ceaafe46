"""What a source yields: a record, or what it rejects and why."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from embedlib.corpus.clean import id_fault
from embedlib.errors import DataError

ID_NAMES = ("_id", "id", "doc_id", "docid", "document_id")
TITLE_NAMES = ("title", "name", "subject")
TEXT_NAMES = ("text", "body", "content", "contents", "document", "passage", "description")


class Record(NamedTuple):
    """One document as its source gives it; ``where`` is its file and line (or row)."""

    doc_id: str
    title: str
    text: str
    where: str
    group_id: str = ""
    metadata: Mapping[str, Any] = {}


class Rejected(NamedTuple):
    """What a source could not use: ``where`` is file and line (or row).

    ``ignored`` is what was never taken for a document, such as a picture in a folder of texts: it is
    listed, and is no mistake.
    """

    where: str
    reason: str
    ignored: bool = False


Item = Record | Rejected


class Unreadable(Exception):
    """Why a file gives no documents; whoever has the file's name makes a ``Rejected`` of it."""


@dataclass(frozen=True)
class Mapped:
    """Which column holds what, already resolved against the columns there are.

    A name is empty where there is no such column; ids then come from the content.
    """

    doc_id: str
    title: str
    text: str
    group_id: str = ""
    metadata: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        """The columns to read, each once."""
        named = (self.doc_id, self.title, self.text, self.group_id, *self.metadata)
        return list(dict.fromkeys(name for name in named if name))


@dataclass(frozen=True)
class FieldNames:
    """Which column is asked to hold what; an empty name is looked for under its usual names."""

    doc_id: str = ""
    title: str = ""
    text: str = ""
    group_id: str = ""
    metadata: tuple[str, ...] = ()

    def resolve(self, columns: Sequence[str], where: str) -> Mapped:
        """Match the names with the columns there are.

        Raises:
            DataError: A named column is missing, or no column looks like a text.
        """
        named = [n for n in (self.doc_id, self.title, self.text, self.group_id, *self.metadata) if n]
        missing = [name for name in named if name not in columns]
        text = self.text or usual(TEXT_NAMES, columns)
        if missing or not text:
            raise DataError(
                f"no column {', '.join(map(repr, missing))}" if missing else "no column that holds the text",
                where=where,
                expected="" if missing else "one of " + ", ".join(TEXT_NAMES),
                found=", ".join(map(str, columns)) or "no columns",
                remedy="name the columns in ingest.source.fields",
            )
        return Mapped(
            self.doc_id or usual(ID_NAMES, columns),
            self.title or usual(TITLE_NAMES, columns),
            text,
            self.group_id,
            self.metadata,
        )


def require_once(columns: Sequence[str], wanted: Sequence[str], where: str) -> None:
    """Check that no column that is read stands twice.

    Raises:
        DataError: One does; which of the two is meant cannot be told.
    """
    twice = [name for name in wanted if columns.count(name) > 1]
    if twice:
        raise DataError(
            f"two columns are called {', '.join(map(repr, twice))}",
            where=where,
            expected="each column that is read once",
            found=", ".join(map(str, columns)),
            remedy="rename one, or name other columns in ingest.source.fields",
        )


def usual(names: Sequence[str], columns: Container[str]) -> str:
    """The first of ``names`` among ``columns``, or an empty string."""
    return next((name for name in names if name in columns), "")


def identifier(value: object) -> str:
    """An id as text, which a number may be; empty where the value is none.

    >>> identifier(" a "), identifier(7), identifier(True), identifier(None)
    ('a', '7', '', '')
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value.strip() if isinstance(value, str) else ""


def to_record(row: Mapping[str, Any], mapped: Mapped, where: str) -> Item:
    """One row as a record, or why it is none: a missing or wrongly typed id, title or text."""
    text = row.get(mapped.text)
    if not isinstance(text, str):
        return Rejected(where, f"{mapped.text!r} is not a text but {_kind(text)}")
    title = row.get(mapped.title) if mapped.title else ""
    if title is None:
        title = ""
    if not isinstance(title, str):
        return Rejected(where, f"{mapped.title!r} is not a text but {_kind(title)}")
    doc_id = identifier(row.get(mapped.doc_id)) if mapped.doc_id else ""
    if mapped.doc_id and not doc_id:
        return Rejected(where, f"{mapped.doc_id!r} is no identifier but {_kind(row.get(mapped.doc_id))}")
    found = row.get(mapped.group_id) if mapped.group_id else ""
    group = "" if found is None else str(found)
    for name, value in (("identifier", doc_id), ("group", group)):
        if fault := id_fault(value):
            return Rejected(where, f"the {name} {value!a} {fault}")
    if not mapped.metadata:
        return Record(doc_id, title, text, where, group)
    metadata = {name: jsonable(row.get(name)) for name in mapped.metadata if row.get(name) is not None}
    return Record(doc_id, title, text, where, group, metadata)


def is_unicode(text: str) -> bool:
    """Whether a text can be written as UTF-8 (JSON escapes and file names can hold what cannot)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _kind(value: Any) -> str:
    if value is None:
        return "missing"
    return "empty" if value == "" else type(value).__name__


def jsonable(value: Any) -> Any:
    """``value`` where JSON can hold it, else its text (dates, decimals)."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return str(value)
    return value


def rows_to_items(
    rows: Iterable[tuple[str, Mapping[str, Any] | Rejected]], names: FieldNames, where: str
) -> Iterator[Item]:
    """Records of a source whose every row names its own keys (JSONL): keys are resolved on the first row.

    Optional keys that the first row lacks are found when they first appear.
    """
    mapped: Mapped | None = None
    known: set[str] = set()
    for place, row in rows:
        if isinstance(row, Rejected):
            yield row
            continue
        if mapped is None or not known.issuperset(row):
            known.update(row)
            try:
                mapped = names.resolve(sorted(known), where)
            except DataError as error:
                yield Rejected(place, f"{error.what} (found: {error.found}; {error.remedy})")
                continue
        yield to_record(row, mapped, place)

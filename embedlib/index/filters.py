"""Which documents a search may return: equality or membership of metadata fields."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from embedlib.contracts import Rows
from embedlib.errors import DataError
from embedlib.index.documents import Documents

#: ``{"lang": "en", "year": [2023, 2024]}``: every field must equal the value or be one of the values.
Filters = Mapping[str, Any]
#: Columns of the corpus that can be filtered like metadata.
COLUMNS = ("source", "group_id")


class MetadataFilter:
    """Finds rows by metadata; the metadata are read at the first filtered search."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._guard = threading.Lock()
        self._known: dict[str, Rows] = {}

    def rows(self, filters: Filters) -> Rows:
        """Rows that satisfy every field, ascending.

        Raises:
            DataError: No document has such a field, or a value cannot be compared.
        """
        key = _key(filters)
        with self._guard:
            if key not in self._known:
                if len(self._known) >= 64:
                    self._known.clear()
                self._known[key] = self._find(filters)
            return self._known[key]

    @cached_property
    def _records(self) -> list[dict[str, Any]]:
        texts = self._documents.column("metadata")
        columns = {name: self._documents.column(name) for name in COLUMNS}
        return [
            {**{name: columns[name][row] for name in COLUMNS}, **json.loads(text or "{}")}
            for row, text in enumerate(texts)
        ]

    def _find(self, filters: Filters) -> Rows:
        known = {name for record in self._records for name in record}
        unknown = sorted(set(filters) - known)
        if unknown:
            raise DataError(
                f"no document has the metadata field {unknown[0]!r}",
                where="filters",
                expected=", ".join(sorted(known)),
                found=unknown[0],
            )
        wanted = {name: _values(value) for name, value in filters.items()}
        found = [
            row
            for row, record in enumerate(self._records)
            if all(name in record and _matches(record[name], values) for name, values in wanted.items())
        ]
        return np.asarray(found, dtype=np.int64)


def _matches(value: Any, wanted: Sequence[Any]) -> bool:
    """A list in the metadata matches when one of its members does."""
    return any(_same(member, w) for member in _values(value) for w in wanted)


def _same(a: Any, b: Any) -> bool:
    """JSON equality: true is not 1."""
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)


def _values(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple | set | frozenset) else [value]


def _key(filters: Filters) -> str:
    try:
        return json.dumps({name: _values(v) for name, v in filters.items()}, sort_keys=True)
    except TypeError as error:
        raise DataError(
            "a filter value is not JSON",
            where="filters",
            expected="a string, number, true, false, null, or a list of them",
            found=str(error),
        ) from error

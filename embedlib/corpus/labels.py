"""Labels: queries and judgements as they come, before they are divided."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from embedlib.corpus.clean import clean_title, id_fault
from embedlib.corpus.records import Rejected, identifier, usual
from embedlib.corpus.tabular import csv_rows, json_rows
from embedlib.corpus.textfiles import read_lines
from embedlib.errors import DataError

Reject = Callable[[Rejected], None]
MAX_BYTES = 4_000_000
#: Column of the count unless another is named; a log without it counts one a row.
COUNT = "count"
#: A count above this is no count of clicks.
MOST_CLICKS = 10**12
QUERY_ID_NAMES = ("_id", "id", "query_id", "query-id", "qid")
QUERY_NAMES = ("text", "query", "question", "title")
#: Names of the columns of judgements, by what they hold.
QREL_NAMES = (
    ("query-id", "query_id", "queryid", "qid", "query"),
    (
        *("corpus-id", "corpus_id", "doc-id", "doc_id", "docid", "docno"),
        *("document_id", "document-id", "document"),
    ),
    ("score", "relevance", "rel", "label", "grade"),
)
_HEADERS = frozenset(name for names in QREL_NAMES for name in names)


class LabelledQuery(NamedTuple):
    """A query's text, and the name of the slice it belongs to, if any."""

    text: str
    label: str | None = None


class Judgement(NamedTuple):
    """One judgement; ``where`` is its file and line."""

    query_id: str
    doc_id: str
    relevance: int
    where: str


@dataclass
class Labels:
    """Queries by id, and the judgements of each split; those of no split are under an empty name.

    Args:
        queries: Every query with text.
        judgements: Split → judgements.
        origin: ``human`` or ``log``.
        unread: Files of judgements that belong to no known split.
    """

    queries: dict[str, LabelledQuery] = field(default_factory=dict)
    judgements: dict[str, list[Judgement]] = field(default_factory=dict)
    origin: str = "human"
    unread: list[str] = field(default_factory=list)


def read_queries(path: Path, reject: Reject) -> dict[str, LabelledQuery]:
    """Queries of a JSONL, CSV or TSV file, by id.

    Queries without an id or a text, and ids given twice, go to ``reject``.
    """
    queries: dict[str, LabelledQuery] = {}
    for where, row in rows_of(path):
        query = row if isinstance(row, Rejected) else _query(row, where)
        if isinstance(query, Rejected):
            reject(query)
        elif query[0] in queries:
            reject(Rejected(where, f"duplicate query id {query[0]!r}"))
        else:
            queries[query[0]] = query[1]
    return queries


def rows_of(path: Path) -> Iterator[tuple[str, Mapping[str, Any] | Rejected]]:
    """(file:line, the row's values by name) of a JSONL, CSV or TSV file."""
    suffix = next((s for s in reversed(path.suffixes) if s != ".gz"), "").lower()
    if suffix in (".csv", ".tsv"):
        return csv_rows(path, max_bytes=MAX_BYTES, delimiter="\t" if suffix == ".tsv" else "")
    return json_rows(path, max_bytes=MAX_BYTES)


def _query(row: Mapping[str, Any], where: str) -> tuple[str, LabelledQuery] | Rejected:
    id_name, text_name = usual(QUERY_ID_NAMES, row), usual(QUERY_NAMES, row)
    query_id, text = identifier(row.get(id_name)) if id_name else "", row.get(text_name)
    if not query_id:
        return Rejected(where, "a query without an id (" + ", ".join(QUERY_ID_NAMES) + ")")
    if fault := id_fault(query_id):
        return Rejected(where, f"the query id {query_id!a} {fault}")
    if not isinstance(text, str) or not (cleaned := clean_title(text)):
        return Rejected(where, f"query {query_id!r} has no text")
    label = row.get("label")
    return query_id, LabelledQuery(cleaned, (clean_title(str(label)) or None) if label is not None else None)


def read_qrels(path: Path, reject: Reject) -> list[Judgement]:
    """Judgements of a file: BEIR's three columns with a header, or TREC's four.

    Args:
        path: The file, ``.gz`` or not; columns by tab, comma, semicolon or space. Where a header names all
            three, it says which is which.
        reject: Callback for each line that is no judgement: too few columns, a score that is no whole number
            of at least 0, a document judged twice with different scores.
    """
    found: dict[tuple[str, str], Judgement] = {}
    header: list[str] = []
    for number, line in read_lines(path, encoding="utf-8", max_bytes=MAX_BYTES):
        where = f"{path.name}:{number}"
        if isinstance(line, Rejected):
            reject(line)
            continue
        values = _columns(line)
        if not values:
            continue
        if number == 1 and _is_header(values):
            header = values
            continue
        judgement = _judgement(values, header, where)
        if isinstance(judgement, Rejected):
            reject(judgement)
            continue
        before = found.setdefault((judgement.query_id, judgement.doc_id), judgement)
        if before.relevance != judgement.relevance:
            what = f"{judgement.doc_id!r} is judged twice for {judgement.query_id!r}, differently"
            reject(Rejected(where, what))
    return list(found.values())


def _is_header(values: Sequence[str]) -> bool:
    """Whether names of columns stand here, and no score at the end."""
    return not _is_number(values[-1]) and bool(_HEADERS.intersection(v.lower() for v in values))


def _places(columns: int, header: Sequence[str]) -> list[int]:
    """Positions of query, document and score: as the header names them, else first, last but one and last."""
    names = [name.lower() for name in header]
    named = [next((names.index(n) for n in known if n in names), -1) for known in QREL_NAMES]
    return named if -1 not in named and columns == len(names) else [0, columns - 2, columns - 1]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _columns(line: str) -> list[str]:
    trec = line.split()
    if "\t" in line:
        values = line.split("\t")
    elif len(trec) == 4 and trec[1] in ("0", "Q0") and _is_number(trec[3]):
        values = trec  # ids may hold commas
    elif "," in line:
        values = _separated(line, ",")
    elif ";" in line and len(trec) not in (3, 4):
        values = _separated(line, ";")
    else:
        values = line.split()
    values = [value.strip() for value in values]
    return values if any(values) else []


def _separated(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return [line]


def _judgement(values: list[str], header: list[str], where: str) -> Judgement | Rejected:
    chosen = [values[place] for place in _places(len(values), header)] if len(values) >= 3 else []
    if len(values) not in (3, 4, len(header)) or not all(chosen):
        return Rejected(where, f"{len(values)} columns for query, document and score")
    query_id, doc_id, score = chosen
    for name, value in (("query id", query_id), ("document id", doc_id)):
        if fault := id_fault(value):
            return Rejected(where, f"the {name} {value!a} {fault}")
    try:
        number = float(score)
    except ValueError:
        return Rejected(where, f"the score {score!r} is no number")
    if not math.isfinite(number) or number != int(number) or not 0 <= number < 1000:
        return Rejected(where, f"the score {score!r} is no whole number of at least 0 and below 1000")
    return Judgement(query_id, doc_id, int(number), where)


def read_log(
    path: Path, reject: Reject, *, query: str, document: str, count: str, min_count: int = 1
) -> Labels:
    """A log of queries with the documents clicked or judged, as labels without splits.

    Rows of the same query (case and spacing aside) and document add up. Relevance is the number of
    decimal digits of the count (1–9 clicks: 1, 10–99: 2, …), so that a much-clicked document counts more
    and no document counts a hundredfold.

    Args:
        path: JSONL, CSV or TSV.
        reject: Callback for each row that cannot be used.
        query: Column of the query's text.
        document: Column of the document's id.
        count: Column of the count; where ``COUNT`` is not there a row counts one.
        min_count: Clicks below which a pair is no label.

    Raises:
        DataError: A column is missing.
    """
    clicks: dict[tuple[str, str], list[Any]] = {}
    labels = Labels(origin="log")
    for where, row in rows_of(path):
        click = row if isinstance(row, Rejected) else _click(row, (query, document, count), where)
        if isinstance(click, Rejected):
            reject(click)
            continue
        text, doc_id, times = click
        query_id = f"log:{text.casefold()}"
        labels.queries.setdefault(query_id, LabelledQuery(text))
        clicks.setdefault((query_id, doc_id), [0, where])[0] += times
    labels.judgements[""] = [
        Judgement(query_id, doc_id, len(str(total)), where)
        for (query_id, doc_id), (total, where) in clicks.items()
        if total >= min_count
    ]
    return labels


def _require_columns(row: Mapping[str, Any], names: Sequence[str], where: str) -> None:
    missing = [name for name in names if name not in row]
    if missing:
        raise DataError(
            f"no column {', '.join(map(repr, missing))} in the query log",
            where=where,
            found=", ".join(row),
            remedy="name the columns in split.labels.query_field, doc_field and count_field",
        )


def _click(
    row: Mapping[str, Any], names: tuple[str, str, str], where: str
) -> tuple[str, str, int] | Rejected:
    _require_columns(row, names[:2] if names[2] == COUNT else names, where)
    text, doc_id, count = row.get(names[0]), identifier(row.get(names[1])), row.get(names[2])
    if not isinstance(text, str) or not (text := clean_title(text)):
        return Rejected(where, "a query without text")
    if not doc_id:
        return Rejected(where, "no document id")
    if fault := id_fault(doc_id):
        return Rejected(where, f"the document id {doc_id!a} {fault}")
    try:
        times = float(count) if count is not None else 1.0
    except (TypeError, ValueError, OverflowError):
        times = math.nan
    if not times.is_integer():
        return Rejected(where, f"the count {str(count)[:40]!r} is no whole number")
    if not 0 <= times <= MOST_CLICKS:
        return Rejected(where, f"the count {times:.3g} is not between 0 and {MOST_CLICKS:.0e}")
    return text, doc_id, int(times)

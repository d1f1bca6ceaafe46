"""Random rows in every format of source, read by the ingest stage.

What must hold: no traceback; and where rows are skipped, every row is in the corpus, or dropped as a
duplicate of one that is, or listed as rejected.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fuzz.calls import Outcome, library
from fuzz.damage import append, flip_bit, flip_high_bit, random_block, truncate, zero_tail
from fuzz.workspace_cases import Case, Failure

from embedlib.config.data import Ingest
from embedlib.contracts import Corpus
from embedlib.corpus.build import read_aliases
from embedlib.stages import ingest
from embedlib.stages.base import run_stage
from embedlib.store import Store

Row = dict[str, Any]
WORDS = (
    "river",
    "stone",
    "Fenster",
    "água",
    "水",
    "🦉",
    "a" * 300,
    "C++",
    "C#",
    "-",
    "0",
    "null",
    "it's",
    '"',
)
ODD = (
    "", " ", "\t", "\n", "\r", "\r\n", "\x00", "\x1b[31m", "\u200b", "\ufeff", "\u2028", "\ud800", "e\u0301",
    "\u202e", "\\", '"', "'", ",", ";", "|", "<b>", "<script>x</script>", "![x](http://a/b)", "# ", "```", "> " * 20,
    "- " * 20, "&amp;", "&#0;", "%s", "{}", "$(x)", "../x", "a/b", ":x:",
)  # fmt: skip
NO_TEXT: tuple[Any, ...] = (
    None,
    0,
    -1,
    1.5,
    float("nan"),
    float("inf"),
    True,
    [],
    ["x"],
    {},
    {"a": {"b": 1}},
    10**400,
)


class Source:
    """A source as it was written: its options, and how many rows there are in it (None: it was damaged)."""

    def __init__(self, options: dict[str, Any], rows: int | None) -> None:
        self.options, self.rows = options, rows


Write = Callable[[np.random.Generator, Path, list[Row]], Source]


def text(rng: np.random.Generator) -> str:
    """A few words, with something odd among them now and then."""
    words = [str(rng.choice(WORDS)) for _ in range(int(rng.integers(0, 8)))]
    if rng.random() < 0.4:
        words.insert(int(rng.integers(len(words) + 1)), ODD[int(rng.integers(len(ODD)))])
    return " ".join(words)


def any_rows(rng: np.random.Generator) -> list[Row]:
    """Rows with an id, a title and a text, some missing, of other types, or said twice."""
    rows: list[Row] = []
    for number in range(int(rng.integers(1, 12))):
        row: Row = {"_id": f"d{number}", "title": text(rng), "text": text(rng) + f" {number}"}
        for name in row:
            kind = rng.random()
            if kind < 0.05:
                row[name] = NO_TEXT[int(rng.integers(len(NO_TEXT)))]
            elif kind < 0.1:
                row[name] = ODD[int(rng.integers(len(ODD)))]
            elif kind < 0.13 and rows:
                row[name] = rows[int(rng.integers(len(rows)))].get(name)
        if rng.random() < 0.05:
            del row[str(rng.choice(["_id", "title", "text"]))]
        rows.append(row)
    return rows


def as_texts(rows: list[Row]) -> list[Row]:
    """Rows for a format that holds texts alone, every column there."""
    return [{name: _text(row.get(name)) for name in ("_id", "title", "text")} for row in rows]


def write_jsonl(rng: np.random.Generator, folder: Path, rows: list[Row]) -> Source:
    """One JSON value a line, some of them no object."""
    values: list[Any] = [*rows, *([NO_TEXT[int(rng.integers(len(NO_TEXT)))]] if rng.random() < 0.2 else [])]
    path = folder / "docs.jsonl"
    path.write_text("".join(json.dumps(v) + "\n" for v in values), encoding="utf-8")
    return Source({"type": "jsonl", "path": path}, len(values))


def write_csv(rng: np.random.Generator, folder: Path, rows: list[Row]) -> Source:
    """Comma- or tab-separated, by the standard library's writer."""
    suffix, delimiter = (("csv", ","), ("tsv", "\t"))[int(rng.integers(2))]
    path, values = folder / f"docs.{suffix}", as_texts(rows)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, ["_id", "title", "text"], delimiter=delimiter, quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(values)
    return Source({"type": "csv", "path": path}, len(values))


def write_parquet(rng: np.random.Generator, folder: Path, rows: list[Row]) -> Source:
    """Texts, some of them null, or a column of numbers."""
    values = as_texts(rows)
    columns: dict[str, Any] = {name: [v[name] or None for v in values] for name in ("_id", "title", "text")}
    if rng.random() < 0.2:
        columns[str(rng.choice(["_id", "title", "text"]))] = list(range(len(values)))
    path = folder / "docs.parquet"
    pq.write_table(pa.table(columns), path)
    return Source({"type": "parquet", "path": path}, len(values))


def write_beir_folder(rng: np.random.Generator, folder: Path, rows: list[Row]) -> Source:
    """``corpus.jsonl`` in a folder."""
    (folder / "beir").mkdir()
    source = write_jsonl(rng, folder / "beir", rows)
    (folder / "beir" / "docs.jsonl").rename(folder / "beir" / "corpus.jsonl")
    return Source({"type": "beir", "path": folder / "beir"}, source.rows)


def write_folder(rng: np.random.Generator, folder: Path, rows: list[Row]) -> Source:
    """A file a document: text, Markdown, HTML."""
    out = folder / "files"
    out.mkdir()
    for number, row in enumerate(as_texts(rows)):
        suffix = ("txt", "md", "html")[int(rng.integers(3))]
        (out / f"{number}.{suffix}").write_text(f"{row['title']}\n\n{row['text']}", encoding="utf-8")
    return Source({"type": "folder", "path": out}, len(rows))


def write_sql(rng: np.random.Generator, folder: Path, rows: list[Row]) -> Source:
    """A table of SQLite, whose columns hold any type."""
    path = folder / "docs.db"
    with sqlite3.connect(path) as database:
        database.execute("create table docs (id, title, text)")
        values = [tuple(_cell(row.get(name)) for name in ("_id", "title", "text")) for row in rows]
        database.executemany("insert into docs values (?, ?, ?)", values)
    database.close()
    os.environ["EMBEDLIB_FUZZ_SQL"] = f"sqlite:///{path}"
    options = {"type": "sql", "url_env": "EMBEDLIB_FUZZ_SQL", "query": "select id, title, text from docs"}
    return Source(options, len(values))


FORMATS: tuple[Write, ...] = (
    write_jsonl,
    write_csv,
    write_parquet,
    write_beir_folder,
    write_folder,
    write_sql,
)
SPOILS = (flip_bit, flip_high_bit, truncate, zero_tail, random_block, append)


def source_case(rng: np.random.Generator, folder: Path, model: Path) -> Case:
    """Write random rows in one format, damage the file now and then, and read them."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write = FORMATS[int(rng.integers(len(FORMATS)))]
    source = write(rng, folder, any_rows(rng))
    label = write.__name__.removeprefix("write_")
    if rng.random() < 0.35:
        spoil = SPOILS[int(rng.integers(len(SPOILS)))]
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        spoil(rng, files[int(rng.integers(len(files)))])
        source.rows, label = None, f"{label}, {spoil.__name__}"
    options = {
        "source": source.options,
        "on_bad_row": ("skip", "skip", "fail")[int(rng.integers(3))],
        "duplicates": ("auto", "drop", "keep")[int(rng.integers(3))],
        "chunk": {"mode": "off"},
        "tokenizer": str(model),
        "limits": {"rejected_share": 1.0, "truncated_share": 1.0, "duplicate_share": 1.0},
    }
    found: list[Path] = []

    def read() -> str:
        found.append(run_stage(Store(folder / "ws"), ingest.STAGE, Ingest(**options)).ref.path)
        return "read"

    outcome = library(read)
    wrong = list(_wrong(outcome, source, found))
    keep = str(folder) if wrong else ""
    failures = [
        Failure(what, label, f"ingest {options}", f"{outcome.crash or outcome.err} {keep}") for what in wrong
    ]
    return Case(label, write.__name__, "ingest", outcome.code, failures)


def _wrong(outcome: Outcome, source: Source, found: list[Path]) -> list[str]:
    if outcome.code is None:
        return ["a traceback"]
    if not found or source.rows is None:
        return []
    folder = found[0]
    profile = json.loads((folder / "profile.json").read_text())
    listed = [json.loads(line) for line in (folder / "rejected.jsonl").read_text().splitlines()]
    corpus, aliases = set(Corpus(folder).ids), read_aliases(folder)
    wrong = []
    if profile["records"] != source.rows:
        wrong.append(f"{source.rows} rows were written and {profile['records']} read")
    kept = len(corpus) + sum(1 for to in aliases.values() if to)
    if kept + len(listed) != source.rows:
        wrong.append(
            f"of {source.rows} rows {kept} were kept or are duplicates, {len(listed)} are listed as rejected"
        )
    if lost := [to for to in aliases.values() if to and to not in corpus]:
        wrong.append(f"a duplicate of {lost[0]!r}, which is not in the corpus")
    return wrong


def _text(value: Any) -> str:
    """A value as a text that UTF-8 can hold and a CSV can carry."""
    shown = value if isinstance(value, str) else "" if value is None else str(value)[:50]
    return shown.encode("utf-8", "replace").decode()


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return _text(value)
    return (
        value
        if isinstance(value, float | None) or (isinstance(value, int) and abs(value) < 2**63)
        else str(value)
    )

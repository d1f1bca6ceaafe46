"""BEIR folders: ``corpus.jsonl``, ``queries.jsonl``, ``qrels/<split>.tsv``, each gzipped or not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from embedlib.corpus.records import FieldNames, Item
from embedlib.corpus.tabular import read_jsonl
from embedlib.corpus.textfiles import require_folder
from embedlib.errors import DataError

#: File names of each split's judgements, in the order they are looked for.
SPLIT_FILES = {"train": ("train",), "dev": ("dev", "validation", "valid", "val"), "test": ("test",)}


def is_beir(path: Path) -> bool:
    """Whether a folder holds a BEIR corpus."""
    return path.is_dir() and _either(path, "corpus.jsonl") is not None


def has_queries(path: Path) -> bool:
    """Whether a BEIR folder holds queries."""
    return _either(path, "queries.jsonl") is not None


def has_labels(path: Path) -> bool:
    """Whether a BEIR folder holds queries and judgements."""
    return has_queries(path) and bool(qrels_files(path))


def corpus_file(folder: Path) -> Path:
    """The folder's corpus.

    Raises:
        DataError: There is none.
    """
    return _required(folder, "corpus.jsonl")


def queries_file(folder: Path) -> Path:
    """The folder's queries.

    Raises:
        DataError: There are none.
    """
    return _required(folder, "queries.jsonl")


def qrels_files(folder: Path) -> dict[str, Path]:
    """The judgements of each split that has some."""
    found = {}
    for split, stems in SPLIT_FILES.items():
        for stem in stems:
            path = _either(folder / "qrels", f"{stem}.tsv")
            if path:
                found[split] = path
                break
    return found


def unread_qrels(folder: Path) -> list[str]:
    """Names of judgement files that belong to no known split."""
    known = set(qrels_files(folder).values())
    return sorted(p.name for p in (folder / "qrels").glob("*") if p.is_file() and p not in known)


def read_beir(folder: Path, *, max_bytes: int) -> Iterator[Item]:
    """Documents of a BEIR folder.

    Raises:
        DataError: The folder or its corpus is not there.
    """
    names = FieldNames(doc_id="_id", text="text")
    return read_jsonl(corpus_file(folder), names, encoding="utf-8", max_bytes=max_bytes)


def _either(folder: Path, name: str) -> Path | None:
    return next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)


def _required(folder: Path, name: str) -> Path:
    path = _either(require_folder(folder), name)
    if path is None:
        raise DataError(
            f"no {name} in the folder",
            where=str(folder),
            expected=f"{name} or {name}.gz, as BEIR lays a collection out",
            found=", ".join(sorted(p.name for p in folder.iterdir())[:10]) or "an empty folder",
        )
    return path

"""From the options of a source to its records, and to the digest of what it holds."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from embedlib.config import data as options
from embedlib.corpus.beir import corpus_file, is_beir, read_beir
from embedlib.corpus.clean import id_fault
from embedlib.corpus.docstrings import docstring_documents, package_roots, source_files
from embedlib.corpus.folder import folder_files, read_folder
from embedlib.corpus.huggingface import open_dataset, read_huggingface
from embedlib.corpus.readers.file import Bounds
from embedlib.corpus.readers.formats import FORMATS, INSTALL, missing, versions
from embedlib.corpus.records import FieldNames, Item
from embedlib.corpus.sql import database_url, read_sql, sql_digest
from embedlib.corpus.tabular import read_csv, read_jsonl, read_parquet
from embedlib.corpus.textfiles import require_file
from embedlib.errors import DataError, UserError
from embedlib.fingerprint import digest, file_sha256, tree_digest

FileSource = options.JsonlSource | options.CsvSource | options.ParquetSource


class Opened(NamedTuple):
    """A source ready to be read.

    Args:
        items: Its records and rejected rows, streamed.
        origin: What messages call it.
        files: Whether a document is a file, which may be long.
        labelled: Whether labels that come with it name its ids, so that duplicates must stay.
    """

    items: Iterable[Item]
    origin: str
    files: bool = False
    labelled: bool = False


def found_at(source: options.AutoSource) -> options.BeirSource | options.FolderSource | FileSource:
    """The source that lies at a path, seen from the folder's content or the file's name.

    Raises:
        DataError: Nothing is there, or nothing that is known.
    """
    path, fields, encoding = source.path, source.fields, source.encoding
    if path.is_dir():
        if is_beir(path):
            return options.BeirSource(path=path)
        return options.FolderSource(path=path, encoding=encoding)
    suffix = next((s for s in reversed(require_file(path).suffixes) if s != ".gz"), "").lower()
    if suffix in FORMATS:
        return options.FolderSource(path=path, encoding=encoding)
    if suffix in (".jsonl", ".ndjson", ".json"):
        return options.JsonlSource(path=path, fields=fields, encoding=encoding)
    if suffix in (".csv", ".tsv"):
        return options.CsvSource(path=path, fields=fields, encoding=encoding)
    if suffix in (".parquet", ".pq"):
        return options.ParquetSource(path=path, fields=fields)
    raise DataError(
        f"cannot tell what {path.name!r} is",
        where=str(path),
        expected="a BEIR folder, a folder of files, a .jsonl, .csv, .tsv or .parquet file, or one of "
        + ", ".join(FORMATS),
        remedy="say so with ingest.source.type",
    )


def named(source: options.Source | None) -> options.Source:
    """The source, which has to be named by now.

    Raises:
        UserError: It is not.
    """
    if source is None:
        raise UserError(
            "no documents are named",
            where="ingest.source",
            expected="a file, a folder, a query or a data set",
            remedy="give --data, or ingest.source in the configuration",
        )
    return source


def open_source(  # noqa: PLR0911 - a return a kind
    source: options.Source, max_bytes: int, files: options.Files
) -> Opened:
    """The records of a source.

    Args:
        source: Its options.
        max_bytes: Longest line or text file that is taken for a document.
        files: Bounds on the reading of other files.

    Raises:
        DataError: It is not there or cannot be read.
    """
    match source:
        case options.AutoSource():
            return open_source(found_at(source), max_bytes, files)
        case options.BeirSource():
            return Opened(read_beir(source.path, max_bytes=max_bytes), str(source.path), labelled=True)
        case options.FolderSource():
            bounds = Bounds(files.max_mb, files.memory_mb, files.timeout_s, max_bytes)
            items = read_folder(
                source.path, source.suffixes, encoding=source.encoding, max_bytes=max_bytes, bounds=bounds
            )
            return Opened(items, str(source.path), files=True)
        case options.DocstringsSource():
            origin = ", ".join(source.packages) or "the standard library's docstrings"
            return Opened(docstring_documents(package_roots(source.packages)), origin)
        case options.SqlSource():
            url = database_url(source.url_env)
            return Opened(read_sql(url, source.query, _names(source.fields)), f"${source.url_env}")
        case options.HuggingFaceSource():
            origin = source.name or (source.path or Path()).name
            return Opened(read_huggingface(_dataset(source), _names(source.fields), origin), origin)
        case options.ParquetSource():
            return Opened(read_parquet(source.path, _names(source.fields)), str(source.path))
        case options.CsvSource(path=path, encoding=encoding, delimiter=delimiter):
            names = _names(source.fields)
            rows = read_csv(path, names, encoding=encoding, max_bytes=max_bytes, delimiter=delimiter)
            return Opened(rows, str(path))
        case options.JsonlSource(path=path, encoding=encoding):
            names = _names(source.fields)
            return Opened(read_jsonl(path, names, encoding=encoding, max_bytes=max_bytes), str(path))


def source_digest(source: options.Source) -> str:  # noqa: PLR0911 - a return a kind
    """Digest of what the source holds now; it changes when the documents do.

    Raises:
        DataError: It is not there or cannot be read.
    """
    match source:
        case options.AutoSource():
            return source_digest(found_at(source))
        case options.BeirSource():
            return file_sha256(corpus_file(source.path))
        case options.FolderSource():
            return _folder_digest(source)
        case options.DocstringsSource():
            roots = package_roots(source.packages)
            trees = [tree_digest(r, [p.relative_to(r).as_posix() for p in source_files(r)]) for r in roots]
            return digest([platform.python_version(), *trees])
        case options.SqlSource():
            return sql_digest(database_url(source.url_env), source.version_query or source.query)
        case options.HuggingFaceSource():
            return tree_digest(source.path) if source.path else str(_dataset(source)._fingerprint)
        case _:
            return digest([source.path.name, file_sha256(require_file(source.path))])


def _folder_digest(source: options.FolderSource) -> str:
    """Names and content of the files, and the versions of the libraries that read them."""
    files = [p for p in folder_files(source.path, source.suffixes) if isinstance(p, Path)]
    names = [p.relative_to(source.path).as_posix() for p in files]
    content = tree_digest(source.path, (name for name in names if not id_fault(name)))
    readers = versions({p.suffix.lower() for p in files})
    return digest([content, readers]) if readers else content


def require_readers(source: options.Source) -> None:
    """Check that the libraries are installed that read the files of a folder.

    Raises:
        DataError: Some are not.
    """
    if isinstance(source, options.AutoSource):
        source = found_at(source)
    if not isinstance(source, options.FolderSource):
        return
    files = [p for p in folder_files(source.path, source.suffixes) if isinstance(p, Path)]
    count = Counter(p.suffix.lower() for p in files if missing(p.suffix.lower()))
    if count:
        kinds = ", ".join(f"{n} {suffix}" for suffix, n in sorted(count.items()))
        names = sorted({name for suffix in count for name in missing(suffix)})
        raise DataError(
            f"files that no installed library reads: {kinds}",
            where=str(source.path),
            expected=", ".join(names),
            remedy=f"{INSTALL}, or leave them out with ingest.on_bad_row=skip",
        )


def _dataset(source: options.HuggingFaceSource) -> Any:
    return open_dataset(**source.model_dump(exclude={"type", "fields"}))


def _names(fields: options.Fields) -> FieldNames:
    return FieldNames(fields.doc_id, fields.title, fields.text, fields.group_id, fields.metadata)

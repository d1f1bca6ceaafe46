"""One file's documents, whatever it is; what cannot be read is named with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from embedlib.corpus.clean import id_fault
from embedlib.corpus.readers.file import Bounds, File
from embedlib.corpus.readers.formats import FORMATS, INSTALL, missing, why_unread
from embedlib.corpus.records import Item, Record, Rejected, Unreadable


def read_path(
    path: Path, name: str, encoding: str, bounds: Bounds, max_bytes: int | None = None
) -> Iterator[Item]:
    """The documents of a file on disk.

    Text and Markdown files are read up to ``max_bytes``, where it is given.
    """
    limit = f"ingest.files.max_mb is {bounds.max_mb:g}"
    if max_bytes is not None:
        limit = f"ingest.max_document_mb is {max_bytes / 1e6:g}"
    try:
        size = path.stat().st_size
        if size > (bounds.max_bytes if max_bytes is None else max_bytes):
            yield Rejected(name, f"too large: a file of {size / 1e6:.1f} MB ({limit})")
            return
        data = path.read_bytes()
    except OSError as error:
        yield Rejected(name, f"cannot be read: {error.strerror or error}")
        return
    yield from read_file(File(name, data, encoding, bounds, read_file))


def read_file(file: File) -> Iterator[Item]:
    """The documents of a file; a reader that fails on it leaves one line that says why."""
    if fault := id_fault(file.name):
        yield Rejected(ascii(file.name), f"a file name that {fault}")
        return
    form = FORMATS.get(file.suffix)
    if form is None:
        yield Rejected(file.name, why_unread(file.suffix), ignored=True)
        return
    full = False
    try:
        _require_readable(file)
        for item in form.read(file):
            yield _with_text(item, file)
    except MemoryError:
        full = True  # to be told when what was read so far has been let go: here nothing can be allocated
    except Unreadable as error:
        yield Rejected(file.name, str(error))
    except RecursionError:
        yield Rejected(file.name, "damaged: nested too deeply")
    except Exception as error:  # noqa: BLE001 - files from anywhere: the libraries raise whatever they meet
        what = str(error).strip().splitlines()
        yield Rejected(file.name, f"damaged: {type(error).__name__}{': ' + what[0][:200] if what else ''}")
    if full:
        limit = f"ingest.files.memory_mb is {file.bounds.memory_mb}"
        yield Rejected(file.name, f"too large: reading it takes more memory than allowed ({limit})")


def _require_readable(file: File) -> None:
    if absent := missing(file.suffix):
        raise Unreadable(f"not installed: {', '.join(absent)} ({INSTALL})")
    if not file.data.strip():
        raise Unreadable("empty: it holds nothing")


def _with_text(item: Item, file: File) -> Item:
    """A document, unless its file's name is all that it says."""
    if isinstance(item, Record) and not item.text.strip() and item.title == file.spoken:
        return Rejected(item.where, "empty: it holds no text")
    return item

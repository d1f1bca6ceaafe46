"""Documents from a folder of files, or from a single one; the relative path is the id."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from embedlib.corpus.clean import id_fault
from embedlib.corpus.readers.file import Bounds
from embedlib.corpus.readers.formats import FORMATS, why_unread
from embedlib.corpus.readers.processes import ReadingProcesses
from embedlib.corpus.readers.read import read_path
from embedlib.corpus.records import Item, Rejected
from embedlib.corpus.textfiles import require_folder


def folder_files(root: Path, suffixes: Sequence[str]) -> Iterator[Path | Rejected]:
    """Files below ``root`` with one of ``suffixes``, sorted; hidden ones are left alone, others named.

    A root that is a file is the only one.
    Links to folders are followed once: a link back to a folder that is being read, or was read, is rejected.
    So is a link out of the root: what lies elsewhere was not given to be read.
    """
    if root.is_file():
        yield root
        return
    wanted = {suffix.lower() for suffix in suffixes}
    yield from _walk(require_folder(root), root, wanted, {os.path.realpath(root)})


def _walk(folder: Path, root: Path, wanted: set[str], seen: set[str]) -> Iterator[Path | Rejected]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        yield Rejected(_name(folder, root), f"cannot be read: {error.strerror or error}")
        return
    for entry in entries:
        path = folder / entry.name
        if entry.name.startswith("."):
            continue
        if entry.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
            yield Rejected(_name(path, root), "a link out of the folder: copy here what it points to")
        elif path.is_dir():
            real = os.path.realpath(path)
            if real in seen:
                yield Rejected(_name(path, root), "a link to a folder that is read already")
                continue
            seen.add(real)
            yield from _walk(path, root, wanted, seen)
        elif path.suffix.lower() not in wanted:
            yield Rejected(_name(path, root), why_unread(path.suffix.lower()), ignored=True)
        elif path.is_file():
            yield path
        else:
            yield Rejected(_name(path, root), "a link to nothing, or no plain file")


def _name(path: Path, root: Path) -> str:
    return path.name if path == root else path.relative_to(root).as_posix()


def read_folder(
    root: Path, suffixes: Sequence[str], *, encoding: str, max_bytes: int, bounds: Bounds
) -> Iterator[Item]:
    """The documents of each file, headings and pages marked (see ``markup``).

    ``max_bytes`` limits text and Markdown files, ``bounds`` all others.

    Raises:
        DataError: The folder is not there.
    """
    with ReadingProcesses(encoding, bounds) as processes:
        coming: deque[Callable[[], Iterable[Item]]] = deque()
        for path in folder_files(root, suffixes):
            coming.append(_reading(path, root, processes, encoding, max_bytes, bounds))
            if len(coming) > 2 * processes.count:
                yield from coming.popleft()()
        for items in coming:
            yield from items()


def _reading(
    path: Path | Rejected,
    root: Path,
    processes: ReadingProcesses,
    encoding: str,
    max_bytes: int,
    bounds: Bounds,
) -> Callable[[], Iterable[Item]]:
    """A file's documents when called: read meanwhile in another process, or only then."""
    if isinstance(path, Rejected):
        return partial(iter, (path,))
    name = _name(path, root)
    if fault := id_fault(name):
        return partial(iter, (Rejected(ascii(name), f"a file name that {fault}"),))
    form = FORMATS.get(path.suffix.lower())
    if form is not None and (form.apart or form.large < _size(path) <= max_bytes):
        return processes.submit(path, name).result
    return partial(read_path, path, name, encoding, bounds, max_bytes)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # told when it is read
        return 0

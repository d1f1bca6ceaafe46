"""Zip archives: each file in them is read like one in a folder."""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Iterator
from pathlib import PurePosixPath

from embedlib.corpus.clean import id_fault
from embedlib.corpus.readers.file import File
from embedlib.corpus.readers.packages import refuse_bomb
from embedlib.corpus.records import Item, Rejected, Unreadable

_ENCRYPTED = 0x1


def read_zip(file: File) -> Iterator[Item]:
    """The documents of an archive; nothing is written to disk."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(file.data))
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise Unreadable(f"damaged: {error}") from error
    with archive:
        refuse_bomb(archive, file)
        for entry in sorted(archive.infolist(), key=lambda e: e.filename):
            if not entry.is_dir() and (_leaves(entry.filename) or not _hidden(entry.filename)):
                yield from _member(archive, entry, file)


def _member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, file: File) -> Iterator[Item]:
    name = entry.filename
    where = f"{file.name}/{name}"
    if fault := id_fault(name):
        yield Rejected(ascii(where), f"a file name that {fault}")
    elif _leaves(name):
        yield Rejected(where, "a path that leaves the archive")
    elif stat.S_ISLNK(entry.external_attr >> 16):
        yield Rejected(where, "a link inside an archive")
    elif entry.flag_bits & _ENCRYPTED:
        yield Rejected(where, "encrypted: it opens with a password only")
    else:
        try:
            data = archive.read(entry)
        except (zipfile.BadZipFile, OSError, EOFError, ValueError, RuntimeError) as error:
            yield Rejected(where, f"damaged: {error}")
        else:
            yield from file.members(name, data)


def _leaves(name: str) -> bool:
    r"""Whether a name points outside of its archive.

    >>> _leaves("a/b.txt"), _leaves("../b.txt"), _leaves("/etc/passwd"), _leaves("c:\\b.txt")
    (False, True, True, True)
    """
    first, *_ = parts = PurePosixPath(name).parts
    return "\\" in name or first == "/" or ":" in first or ".." in parts


def _hidden(name: str) -> bool:
    return any(
        part.startswith(".") or part == "__MACOSX" for part in name.split("/") if part not in ("..", ".")
    )

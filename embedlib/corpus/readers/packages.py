"""Office files are zip archives of XML: looked into before a library opens them."""

from __future__ import annotations

import io
import zipfile
from xml.etree import ElementTree

from embedlib.corpus.readers.file import File
from embedlib.corpus.records import Unreadable

#: An archive whose content is so many times larger than it is no honest one; small ones may be.
MAX_RATIO, RATIO_FROM = 200, 20_000_000
MAX_MEMBERS = 20_000
#: The start of an OLE compound file: an encrypted Office file, or an old one with a new name.
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_TITLE = "{http://purl.org/dc/elements/1.1/}title"


def require_package(file: File, needed: str) -> None:
    """Check that an Office file can be opened.

    ``needed`` is the part that files of this kind hold.

    Raises:
        Unreadable: It is encrypted, damaged or too large.
    """
    if file.data.startswith(_OLE):
        hidden = "EncryptedPackage".encode("utf-16-le") in file.data
        raise Unreadable(
            "encrypted: it opens with a password only" if hidden else "damaged: an old Office format"
        )
    try:
        with zipfile.ZipFile(io.BytesIO(file.data)) as archive:
            refuse_bomb(archive, file)
            if needed not in archive.namelist():
                raise Unreadable(f"damaged: no {needed} in it")
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise Unreadable(f"damaged: {error}") from error


def refuse_bomb(archive: zipfile.ZipFile, file: File) -> None:
    """Check that an archive holds no more files or bytes than are read, or than an honest one has.

    What an entry says of its size is all that ``zipfile`` ever reads of it.

    Raises:
        Unreadable: It does.
    """
    entries = archive.infolist()
    size = sum(entry.file_size for entry in entries)
    if len(entries) > MAX_MEMBERS:
        raise Unreadable(f"too large: {len(entries)} files in it, at most {MAX_MEMBERS} are read")
    if size > file.bounds.max_bytes:
        limit = f"ingest.files.max_mb is {file.bounds.max_mb:g}"
        raise Unreadable(f"too large: {size / 1e6:.0f} MB unpacked ({limit})")
    if size > RATIO_FROM and size > MAX_RATIO * max(len(file.data), 1):
        raise Unreadable(f"too large: a decompression bomb, {size // len(file.data)} times its size")


def core_title(file: File) -> str:
    """The title in an Office file's properties, or an empty string."""
    try:
        with zipfile.ZipFile(io.BytesIO(file.data)) as archive:
            root = ElementTree.fromstring(archive.read("docProps/core.xml"))  # noqa: S314 (expat is bounded)
    except (KeyError, ElementTree.ParseError, zipfile.BadZipFile):
        return ""
    return " ".join((root.findtext(_TITLE) or "").split())

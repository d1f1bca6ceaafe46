"""Lines of text files, however they come: gzipped, with a byte-order mark, broken in the middle."""

from __future__ import annotations

import codecs
import gzip
import io
import re
import string
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from embedlib.corpus.records import Rejected, Unreadable
from embedlib.errors import DataError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def require_file(path: Path) -> Path:
    """The path, if a file is there.

    Raises:
        DataError: There is none.
    """
    if path.is_file():
        return path
    raise _missing(path, "file")


def require_folder(path: Path) -> Path:
    """The path, if a folder is there.

    Raises:
        DataError: There is none.
    """
    if path.is_dir():
        return path
    raise _missing(path, "folder")


def _missing(path: Path, what: str) -> DataError:
    return DataError(
        f"no {what} {path.name!r}",
        where=str(path),
        expected=f"a {what} that can be read",
        found="a folder" if path.is_dir() else "a file" if path.is_file() else "nothing",
        remedy="check the path; relative paths start at the working directory",
    )


def unreadable(error: OSError) -> DataError:
    """What to raise when the system refuses to read a file."""
    return DataError(
        "a file cannot be read",
        where=str(error.filename or ""),
        found=error.strerror or str(error),
        remedy="check its permissions and the disk it lies on",
    )


def check_encoding(name: str) -> str:
    """The encoding's name, if Python knows it as one of texts.

    Raises:
        DataError: It does not.
    """
    try:
        known = codecs.lookup(name).name
        of_files = known not in _ESCAPES
        if of_files and (_WIDE.match(known) or is_narrow(known) or len(_PLAIN.encode(known)) == len(_PLAIN)):
            return name
    except (LookupError, ValueError):
        pass
    raise DataError(
        f"unknown encoding {name!r}",
        expected="an encoding of texts, such as utf-8, utf-16 or cp1252",
        remedy="set `encoding` to the file's own",
    )


_WIDE = re.compile(r"utf-(7|16|32)\b")
#: Ways of writing text in ASCII, not encodings of files.
_ESCAPES = frozenset(("idna", "punycode", "unicode-escape", "raw-unicode-escape"))
_PLAIN = string.printable


def is_narrow(encoding: str) -> bool:
    """Whether ASCII stands for itself, so that lines can be told apart before they are decoded.

    >>> is_narrow("cp1252"), is_narrow("utf-16-le"), is_narrow("cp037")
    (True, False, False)
    """
    try:
        return _PLAIN.encode("ascii").decode(encoding) == _PLAIN
    except UnicodeError:
        return False


def open_bytes(path: Path) -> BinaryIO:
    """The file's bytes, unzipped where its name ends in ``.gz``.

    Raises:
        DataError: It is not there or may not be read.
    """
    require_file(path)
    try:
        return cast(BinaryIO, gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")
    except OSError as error:
        raise unreadable(error) from error


def sniff_encoding(path: Path, encoding: str) -> str:
    """The encoding that a byte-order mark tells, else ``encoding``."""
    return _marked(_start(path, 4)) or check_encoding(encoding)


def _marked(data: bytes) -> str | None:
    return next((name for mark, name in _MARKS if data.startswith(mark)), None)


def _start(path: Path, size: int) -> bytes:
    """The first bytes; none of a damaged file: ``read_lines`` meets the same damage and says where."""
    with open_bytes(path) as stream:
        try:
            return stream.read(size)
        except (OSError, EOFError, zlib.error):
            return b""


def read_lines(path: Path, *, encoding: str, max_bytes: int) -> Iterator[tuple[int, str | Rejected]]:
    """(line number from 1, the line without its end), with undecodable and endless lines rejected.

    Args:
        path: File, ``.gz`` or not.
        encoding: Unless a byte-order mark says otherwise.
        max_bytes: Longest line; the rest of a longer one is skipped without being held.

    Raises:
        DataError: The file is not there.
    """
    found = sniff_encoding(path, encoding)
    if not is_narrow(found) or _has_bare_returns(path):
        yield from _wide_lines(path, found, max_bytes)
        return
    number = 0
    with open_bytes(path) as stream:
        try:
            for number, line in _byte_lines(stream, max_bytes):
                yield number, _decoded(path, number, line, found, max_bytes)
        except (OSError, EOFError, zlib.error) as error:
            yield number + 1, Rejected(f"{path.name}:{number + 1}", f"the file breaks off: {error}")


def _has_bare_returns(path: Path) -> bool:
    """Whether lines end in a carriage return alone, as a file's first bytes show."""
    start = _start(path, 1 << 16)
    return b"\r" in start.rstrip(b"\r") and b"\n" not in start


def _byte_lines(stream: BinaryIO, max_bytes: int) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := stream.readline(max_bytes + 2):
        number += 1
        if len(line) == max_bytes + 2 and not line.endswith(b"\n"):
            while (rest := stream.readline(1 << 20)) and not rest.endswith(b"\n"):
                pass
        yield number, line


def _decoded(path: Path, number: int, line: bytes, encoding: str, max_bytes: int) -> str | Rejected:
    if len(line.rstrip(b"\r\n")) > max_bytes:
        return _too_long(path, number, max_bytes)
    if number == 1 and line.startswith(codecs.BOM_UTF8):
        line = line[len(codecs.BOM_UTF8) :]
    try:
        return line.decode(encoding).rstrip("\r\n")
    except UnicodeDecodeError as error:
        return Rejected(f"{path.name}:{number}", _undecodable(error, encoding))


def _too_long(path: Path, number: int, max_bytes: int) -> Rejected:
    reason = f"a line of more than {max_bytes / 1e6:g} MB (raise ingest.max_document_mb, or cut it)"
    return Rejected(f"{path.name}:{number}", reason)


#: Files of labels have no option of their encoding.
_RECODE = "(save it as UTF-8, or, of documents, set ingest.source.encoding)"


def _undecodable(error: UnicodeError, encoding: str) -> str:
    if not isinstance(error, UnicodeDecodeError):  # a mark of the byte order is missing
        return f"not {encoding}: {error} {_RECODE}"
    return f"not {encoding}: byte 0x{error.object[error.start]:02x} at {error.start} {_RECODE}"


def _wide_lines(path: Path, encoding: str, max_bytes: int) -> Iterator[tuple[int, str | Rejected]]:
    number = 0
    with open_bytes(path) as stream, io.TextIOWrapper(stream, encoding=encoding) as text:
        try:
            while line := text.readline(max_bytes):
                number += 1
                if len(line) == max_bytes and not line.endswith("\n"):
                    while (rest := text.readline(1 << 20)) and not rest.endswith("\n"):
                        pass
                    yield number, _too_long(path, number, max_bytes)
                    continue
                yield number, line.rstrip("\r\n")
        except (OSError, EOFError, zlib.error) as error:
            yield number + 1, Rejected(f"{path.name}:{number + 1}", f"the file breaks off: {error}")
        except UnicodeError as error:
            yield number + 1, Rejected(f"{path.name}:{number + 1}", _undecodable(error, encoding))


def decode(data: bytes, *, encoding: str) -> str:
    """A whole file's bytes as text; a byte-order mark wins over ``encoding``.

    Raises:
        Unreadable: They are in another encoding.
    """
    found = _marked(data) or check_encoding(encoding)
    try:
        return data.decode("utf-8-sig" if found == "utf-8" else found)
    except UnicodeDecodeError as error:
        raise Unreadable(_undecodable(error, found)) from error

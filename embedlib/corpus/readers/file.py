"""What a reader is given, and what bounds it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from embedlib.corpus.records import Item, Rejected

#: Archives and attachments are opened inside archives and mails so many levels deep.
MAX_DEPTH = 2


@dataclass(frozen=True)
class Bounds:
    """How much of a file is read.

    Args:
        max_mb: Largest file, and largest sum of an archive's files once unpacked.
        memory_mb: Memory that the reading process may have.
        timeout_s: Longest time for one file.
        max_characters: Longest text that is taken for a document.
    """

    max_mb: float
    memory_mb: int
    timeout_s: float
    max_characters: int

    @property
    def max_bytes(self) -> int:
        """``max_mb`` in bytes."""
        return int(self.max_mb * 1e6)


@dataclass(frozen=True)
class File:
    """A file's bytes under its name, on disk or inside another file.

    Args:
        name: Its path below the folder that is read; that of a file in an archive goes on inside it.
        data: Its bytes.
        encoding: Of text without a byte-order mark.
        bounds: How much is read.
        read: Reads a file inside this one.
        depth: How many files it lies in.
    """

    name: str
    data: bytes = field(repr=False)
    encoding: str
    bounds: Bounds
    read: Callable[[File], Iterator[Item]] = field(repr=False)
    depth: int = 0

    @property
    def suffix(self) -> str:
        """The name's ending in lower case, with its dot."""
        return PurePosixPath(self.name).suffix.lower()

    @property
    def spoken(self) -> str:
        """The name as words, for documents that say no title.

        >>> File("a/getting-started_guide.pdf", b"", "utf-8", Bounds(1, 1, 1, 1), iter).spoken
        'getting started guide'
        """
        return " ".join(PurePosixPath(self.name).stem.replace("_", " ").replace("-", " ").split())

    def members(self, name: str, data: bytes) -> Iterator[Item]:
        """The documents of a file inside this one."""
        inner = f"{self.name}/{name}"
        if self.depth >= MAX_DEPTH:
            yield Rejected(inner, f"nested too deeply: it lies in more than {MAX_DEPTH} files")
        else:
            yield from self.read(replace(self, name=inner, data=data, depth=self.depth + 1))

"""Is a file still what was written? Checksums that are computed once for a file that does not change."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from embedlib.disk import write_atomic
from embedlib.errors import CorruptArtifact, StoreError
from embedlib.fingerprint import digest, file_sha256

#: A file that changed this shortly before it was looked at may change again under the same time stamp:
#: the clock of a file system ticks every 10 ms at worst.
SETTLED_NS = 50_000_000


class FileEntry(BaseModel):
    """Size in bytes and SHA-256 of one file of an artifact."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    bytes: int
    sha256: str


class Stamp(NamedTuple):
    """What an operating system changes with every write, and no program can set back (``ctime``)."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, path: Path) -> Stamp:
        """The stamp of a file now."""
        found = path.stat()
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class Checksums:
    """SHA-256 of files, each read once while its stamp stays the same.

    Args:
        known: Checksums by stamp.
    """

    def __init__(self, known: Mapping[Stamp, str] | None = None) -> None:
        self._known = dict(known or {})

    @classmethod
    def read(cls, path: Path) -> Checksums:
        """What ``write`` wrote; empty where that is missing or spoiled, and then every file is read."""
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))
            return cls({Stamp(*map(int, stamp)): str(sha256) for *stamp, sha256 in rows})
        except (OSError, ValueError, TypeError, RecursionError):
            return cls()

    def write(self, path: Path) -> None:
        """Remember for other processes; where nothing can be written they read the files again."""
        with suppress(OSError):
            write_atomic(path, json.dumps([[*stamp, sha256] for stamp, sha256 in self._known.items()]))

    def matches(self, path: Path, sha256: str) -> bool:
        """Whether a file has that checksum; it is read unless that was seen under its present stamp."""
        stamp = Stamp.of(path)
        if self._known.get(stamp) == sha256:
            return True
        same = file_sha256(path) == sha256
        if same and stamp == Stamp.of(path) and time.time_ns() - stamp.ctime_ns > SETTLED_NS:
            self._known[stamp] = sha256
        return same

    def __len__(self) -> int:
        return len(self._known)


#: Checksums that this process has seen.
SEEN_HERE = Checksums()


def file_entries(folder: Path) -> dict[str, FileEntry]:
    """Sizes and checksums of all files below a folder, by relative name in order."""
    return {
        path.relative_to(folder).as_posix(): FileEntry(bytes=path.stat().st_size, sha256=file_sha256(path))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def require_files(folder: Path, files: Mapping[str, FileEntry], checksums: Checksums | None = None) -> None:
    """Compare files with their sizes and checksums, sizes first.

    Args:
        folder: Where they lie.
        files: What was written, by relative name.
        checksums: Those that are known; every file is read when None.

    Raises:
        CorruptArtifact: Naming the first file that is missing or differs.
    """
    for name, entry in files.items():
        size = _size(folder / name)
        if size != entry.bytes:
            raise damaged(
                folder / name, f"{entry.bytes} bytes", "no file" if size is None else f"{size} bytes"
            )
    known = Checksums() if checksums is None else checksums
    for name, entry in files.items():
        try:
            same = known.matches(folder / name, entry.sha256)
        except OSError as error:
            raise damaged(folder / name, "a readable file", str(error)) from error
        if not same:
            raise damaged(folder / name, f"sha256 {entry.sha256[:16]}", "other bytes of the same number")


def damaged(path: Path, expected: str, found: str) -> CorruptArtifact:
    """The error for a file of an artifact that is not what was written."""
    return CorruptArtifact(
        "an artifact's file is not what was written",
        where=str(path),
        expected=expected,
        found=found,
        remedy="check the disk; a run that makes the artifact builds it anew, and `embedlib rollback` "
        "serves an earlier release meanwhile",
    )


class OtherSchema(StoreError):
    """A record of a schema version that this release does not know."""


def sealed(record: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON record with a digest of itself, so that one flipped bit in it is seen."""
    return {**record, "seal": digest(dict(record))}


def read_sealed(path: Path, version: int) -> dict[str, Any]:
    """Read a record that was written ``sealed``.

    Raises:
        OtherSchema: It has another ``schema_version``.
        OSError: It cannot be read.
        ValueError: It is not what was written.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("JSON nested too deeply") from error
    if not isinstance(raw, dict):
        raise ValueError("not a JSON object")
    if raw.get("schema_version") != version:
        raise OtherSchema(
            "a record of another schema version",
            where=str(path),
            expected=str(version),
            found=str(raw.get("schema_version")),
        )
    seal = raw.pop("seal", None)
    if seal != digest(raw):
        raise ValueError("the content does not match its own checksum")
    return raw


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None

"""The artifact store: the one place where bytes live, and the only cache.

An artifact is an immutable folder ``artifacts/<kind>/<fingerprint>/`` with data files and an
``artifact.json``. It is written to a temporary folder, synced and renamed, so that a crash at
any instant leaves nothing or the whole. A stage that wants to survive its own crash keeps
unfinished work in ``scratch/<fingerprint>/``, which is removed when the artifact is committed.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from embedlib.errors import CorruptArtifact, DiskFull, StoreError, UserError
from embedlib.fingerprint import digest, file_sha256, recipe_fingerprint
from embedlib.memory import peak_memory_mb, reset_peak_memory

logger = logging.getLogger(__name__)

SCHEMA_VERSION = 1
MANIFEST = "artifact.json"
LIBRARIES = ("embedlib", "torch", "sentence-transformers", "transformers", "faiss-cpu", "numpy", "pyarrow")


class FileEntry(BaseModel):
    """Size in bytes and SHA-256 of one file of an artifact."""

    model_config = ConfigDict(frozen=True)
    bytes: int
    sha256: str


class Manifest(BaseModel):
    """What ``artifact.json`` holds; ``digest`` is the identity of the content."""

    model_config = ConfigDict(frozen=True)
    schema_version: int
    kind: str
    stage: str
    fingerprint: str
    digest: str
    parents: dict[str, str]
    config: dict[str, Any]
    summary: dict[str, Any]
    files: dict[str, FileEntry]
    versions: dict[str, str]
    created_at: str
    seconds: float
    peak_memory_mb: float


class ArtifactRef(BaseModel):
    """All that travels between tasks: which artifact, and where it lies."""

    model_config = ConfigDict(frozen=True)
    kind: str
    fingerprint: str
    path: Path

    @property
    def manifest(self) -> Manifest:
        """Read ``artifact.json``.

        Raises:
            CorruptArtifact: It is missing, unreadable, or of another schema version.
        """
        return read_manifest(self.path)

    @property
    def digest(self) -> str:
        """Identity of the content: equal for equal bytes, whatever recipe made them."""
        return self.manifest.digest

    @property
    def exists(self) -> bool:
        """Whether the artifact is (still) in the store."""
        return (self.path / MANIFEST).is_file()

    @property
    def parents(self) -> dict[str, ArtifactRef]:
        """What it was made from, by input name; a parent may have been removed since (``exists``)."""
        parts = {name: parent.split("/", 1) for name, parent in self.manifest.parents.items()}
        folder = self.path.parent.parent
        return {
            name: ArtifactRef(kind=kind, fingerprint=fingerprint, path=folder / kind / fingerprint)
            for name, (kind, fingerprint) in parts.items()
        }

    def file(self, name: str) -> Path:
        """Path of one data file."""
        return self.path / name

    def read_json(self, name: str) -> Any:
        """One JSON file's content."""
        return json.loads(self.file(name).read_text(encoding="utf-8"))


def read_manifest(folder: Path) -> Manifest:
    """Read and check an artifact folder's ``artifact.json``.

    Raises:
        CorruptArtifact: It is missing, unreadable, or of a schema version this release does not know.
    """
    path = folder / MANIFEST
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if raw.get("schema_version") != SCHEMA_VERSION:
            raise CorruptArtifact(
                "artifact of another schema version",
                where=str(path),
                expected=str(SCHEMA_VERSION),
                found=str(raw.get("schema_version")),
                remedy="open it with the version that wrote it, or delete the folder to build it anew",
            )
        return Manifest.model_validate(raw)
    except (OSError, json.JSONDecodeError, ValidationError, AttributeError) as error:
        raise CorruptArtifact(
            "artifact.json is missing or unreadable",
            where=str(path),
            found=str(error).splitlines()[0],
            remedy="delete the folder; the next run builds it anew",
        ) from error


@dataclass(frozen=True)
class Recipe:
    """What is to be built: stage, kind, code digest, options and named inputs."""

    stage: str
    kind: str
    code: str
    config: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, ArtifactRef] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """Identity of the result, known before it is built."""
        contents = {name: ref.digest for name, ref in self.inputs.items()}
        return recipe_fingerprint(self.stage, self.code, self.config, contents)


class Built(NamedTuple):
    """An artifact and whether it was there already."""

    ref: ArtifactRef
    reused: bool


class Work(NamedTuple):
    """Where a stage writes: ``out`` becomes the artifact, ``scratch`` survives a crash."""

    out: Path
    scratch: Path


Make = Callable[[Work], Mapping[str, Any]]


def require_workspace(root: Path | str) -> Path:
    """The absolute path of a workspace that is there already, for whoever would only read it.

    Raises:
        UserError: There is none at that path.
    """
    path = Path(root).expanduser().resolve()
    if not any((path / name).is_dir() for name in ("artifacts", "releases")):
        raise UserError(
            "there is no workspace here",
            where=str(path),
            expected="a folder that `embedlib run` has written",
            found="another folder" if path.is_dir() else "a file" if path.exists() else "nothing",
            remedy=f"check the path, or make it: embedlib run --data YOUR-DOCUMENTS --workspace {root}",
        )
    return path


class Store:
    """A workspace folder's artifacts.

    Args:
        root: The workspace; made if it is not there.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).expanduser().resolve()
        self.artifacts_dir = self.root / "artifacts"
        self.scratch_dir = self.root / "scratch"
        self.locks_dir = self.root / "locks"
        for folder in (self.artifacts_dir, self.scratch_dir, self.locks_dir):
            with disk_errors(folder):
                folder.mkdir(parents=True, exist_ok=True)

    def build(self, recipe: Recipe, make: Make) -> Built:
        """Return the recipe's artifact, calling ``make`` only if it is not there intact.

        ``make`` fills ``work.out`` and returns a JSON summary (rows, metrics). Two processes that
        want the same artifact build it once: the second waits for the first.

        Raises:
            DiskFull: No space was left; nothing half-written stays.
            Exception: Whatever ``make`` raises; nothing half-written stays but its scratch folder.
        """
        fingerprint = recipe.fingerprint
        with self._lock(fingerprint):
            ref = self.find(recipe.kind, fingerprint)
            if ref is not None:
                return Built(ref, reused=True)
            return Built(self._make(recipe, fingerprint, make), reused=False)

    def find(self, kind: str, fingerprint: str) -> ArtifactRef | None:
        """The artifact if it is there with every file at its size; a damaged one is set aside."""
        folder = self.artifacts_dir / kind / fingerprint
        if not folder.is_dir():
            return None
        try:
            self._check_sizes(folder)
        except CorruptArtifact as error:
            aside = folder.with_name(f".damaged-{fingerprint}-{time.time_ns()}")
            logger.warning("%s; set aside as %s and built anew", error, aside.name)
            os.replace(folder, aside)
            return None
        return ArtifactRef(kind=kind, fingerprint=fingerprint, path=folder)

    def get(self, kind: str, fingerprint: str) -> ArtifactRef:
        """The artifact, or ``StoreError`` naming it."""
        ref = self.find(kind, fingerprint)
        if ref is None:
            raise StoreError(
                f"no {kind} artifact {fingerprint}",
                where=str(self.artifacts_dir / kind),
                remedy="run the flow that builds it",
            )
        return ref

    def artifacts(self, kind: str | None = None) -> Iterator[ArtifactRef]:
        """Every artifact, newest first within a kind."""
        kinds = [kind] if kind else sorted(p.name for p in self.artifacts_dir.iterdir() if p.is_dir())
        for name in kinds:
            folders = [p for p in (self.artifacts_dir / name).glob("[!.]*") if (p / MANIFEST).is_file()]
            for folder in sorted(folders, key=lambda p: (p / MANIFEST).stat().st_mtime, reverse=True):
                yield ArtifactRef(kind=name, fingerprint=folder.name, path=folder)

    def sweep(self) -> list[Path]:
        """Remove temporary folders whose writer is dead; returns what was removed."""
        removed = []
        for folder in self.artifacts_dir.glob("*/.tmp-*"):
            fingerprint = folder.name.removeprefix(".tmp-")
            with self._lock(fingerprint, wait=False) as held:
                if held:
                    shutil.rmtree(folder, ignore_errors=True)
                    removed.append(folder)
        return removed

    def verify(self, ref: ArtifactRef) -> None:
        """Compare every byte of an artifact with its checksums.

        Raises:
            CorruptArtifact: Naming the first file that differs.
        """
        self._check_sizes(ref.path)
        for name, entry in ref.manifest.files.items():
            found = file_sha256(ref.path / name)
            if found != entry.sha256:
                raise _damaged(ref.path / name, f"sha256 {entry.sha256[:16]}…", f"{found[:16]}…")

    def _make(self, recipe: Recipe, fingerprint: str, make: Make) -> ArtifactRef:
        kind_dir = self.artifacts_dir / recipe.kind
        out, scratch = kind_dir / f".tmp-{fingerprint}", self.scratch_dir / fingerprint
        with disk_errors(out):
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir(parents=True)
            scratch.mkdir(exist_ok=True)
            reset_peak_memory()
            started = time.monotonic()
            try:
                summary = make(Work(out, scratch))
                manifest = _manifest(recipe, fingerprint, out, summary, time.monotonic() - started)
                (out / MANIFEST).write_text(manifest.model_dump_json(indent=1), encoding="utf-8")
                _sync_tree(out)
                os.replace(out, kind_dir / fingerprint)
                _sync(kind_dir)
            except BaseException:
                shutil.rmtree(out, ignore_errors=True)
                raise
        shutil.rmtree(scratch, ignore_errors=True)
        return ArtifactRef(kind=recipe.kind, fingerprint=fingerprint, path=kind_dir / fingerprint)

    def _check_sizes(self, folder: Path) -> None:
        for name, entry in read_manifest(folder).files.items():
            path = folder / name
            size = path.stat().st_size if path.is_file() else None
            if size != entry.bytes:
                raise _damaged(path, f"{entry.bytes} bytes", "no file" if size is None else f"{size} bytes")

    @contextmanager
    def _lock(self, name: str, wait: bool = True) -> Iterator[bool]:
        with file_lock(self.locks_dir / f"{name}.lock", wait=wait) as held:
            yield held


@contextmanager
def file_lock(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """An operating-system lock, released when its holder dies; yields whether it is held."""
    with path.open("a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                yield False
                return
            logger.info("waiting for another process: %s", path.name)
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield True


def write_atomic(path: Path, data: str | bytes) -> None:
    """Replace a file in one step: a reader sees the old bytes or the new, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{time.time_ns()}")
    try:
        with temporary.open("wb") as stream:
            stream.write(data.encode() if isinstance(data, str) else data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync(path.parent)


def _manifest(
    recipe: Recipe, fingerprint: str, out: Path, summary: Mapping[str, Any], seconds: float
) -> Manifest:
    files = {
        p.relative_to(out).as_posix(): FileEntry(bytes=p.stat().st_size, sha256=file_sha256(p))
        for p in sorted(out.rglob("*"))
        if p.is_file()
    }
    return Manifest(
        schema_version=SCHEMA_VERSION,
        kind=recipe.kind,
        stage=recipe.stage,
        fingerprint=fingerprint,
        digest=digest({name: entry.sha256 for name, entry in files.items()}),
        parents={name: f"{ref.kind}/{ref.fingerprint}" for name, ref in recipe.inputs.items()},
        config=dict(recipe.config),
        summary=dict(summary),
        files=files,
        versions=_versions(),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(seconds, 3),
        peak_memory_mb=round(peak_memory_mb(), 1),
    )


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _damaged(path: Path, expected: str, found: str) -> CorruptArtifact:
    return CorruptArtifact(
        "an artifact's file is not what was written",
        where=str(path),
        expected=expected,
        found=found,
        remedy="delete the artifact's folder; the next run builds it anew",
    )


@contextmanager
def disk_errors(where: Path) -> Iterator[None]:
    """Raise ``DiskFull`` in place of the operating system's error, naming ``where`` was written to."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DiskFull(
            "the disk is full",
            where=str(where),
            remedy="free space and give the same command again; finished stages and shards are kept",
        ) from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_tree(folder: Path) -> None:
    for path in folder.rglob("*"):
        _sync(path)
    _sync(folder)

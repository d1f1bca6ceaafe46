"""The artifact store: the one place where bytes live, and the only cache.

An artifact is an immutable folder ``artifacts/<kind>/<fingerprint>/`` with data files and an
``artifact.json``. It is written to a temporary folder, synced and renamed, so that a crash at
any instant leaves nothing or the whole. A stage that wants to survive its own crash keeps
unfinished work in ``scratch/<fingerprint>/``, which is removed when the artifact is committed.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from embedlib.artifact import MANIFEST, SCHEMA_VERSION, ArtifactRef, Manifest
from embedlib.disk import disk_errors, file_lock, sync, sync_tree
from embedlib.errors import CorruptArtifact, StoreError, UserError
from embedlib.fingerprint import digest, recipe_fingerprint
from embedlib.integrity import SEEN_HERE, file_entries, sealed
from embedlib.memory import peak_memory_mb, reset_peak_memory

logger = logging.getLogger(__name__)

LIBRARIES = ("embedlib", "torch", "sentence-transformers", "transformers", "faiss-cpu", "numpy", "pyarrow")


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

    Raises:
        UserError: It is a file.
        NotWritable: It cannot be made or written.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).expanduser().resolve()
        self.artifacts_dir = self.root / "artifacts"
        self.scratch_dir = self.root / "scratch"
        self.locks_dir = self.root / "locks"
        with disk_errors(self.root):
            _require_folder(self.root)
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
                with suppress(OSError):
                    os.utime(ref.path)  # in use: retention spares it
                return Built(ref, reused=True)
            return Built(self._make(recipe, fingerprint, make), reused=False)

    def find(self, kind: str, fingerprint: str) -> ArtifactRef | None:
        """The artifact if it is there and its content is what was written, seen once by this process."""
        ref = self._ref(kind, fingerprint)
        if not ref.path.is_dir():
            return None
        try:
            ref.require_intact(SEEN_HERE)
        except CorruptArtifact as error:
            logger.warning("%s", error)
            return None
        return ref

    def get(self, kind: str, fingerprint: str) -> ArtifactRef:
        """The artifact.

        Raises:
            CorruptArtifact: Its content is not what was written.
            StoreError: It is not there.
        """
        ref = self._ref(kind, fingerprint)
        if not ref.path.is_dir():
            raise StoreError(
                f"no {kind} artifact {fingerprint}",
                where=str(self.artifacts_dir / kind),
                remedy="`embedlib verify` says what else is missing; a run builds it anew",
            )
        ref.require_intact(SEEN_HERE)
        return ref

    def artifacts(self, kind: str | None = None) -> Iterator[ArtifactRef]:
        """Every artifact whose record can be read, newest first within a kind; others are warned of."""
        kinds = [kind] if kind else sorted(p.name for p in self.artifacts_dir.iterdir() if p.is_dir())
        for name in kinds:
            folders = [p for p in (self.artifacts_dir / name).glob("[!.]*") if (p / MANIFEST).is_file()]
            for folder in sorted(folders, key=lambda p: (p / MANIFEST).stat().st_mtime, reverse=True):
                ref = self._ref(name, folder.name)
                try:
                    _ = ref.manifest
                except CorruptArtifact as error:
                    logger.warning("left out: %s", error)
                    continue
                yield ref

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

    def _ref(self, kind: str, fingerprint: str) -> ArtifactRef:
        return ArtifactRef(kind=kind, fingerprint=fingerprint, path=self.artifacts_dir / kind / fingerprint)

    def _make(self, recipe: Recipe, fingerprint: str, make: Make) -> ArtifactRef:
        ref = self._ref(recipe.kind, fingerprint)
        out, scratch = ref.path.with_name(f".tmp-{fingerprint}"), self.scratch_dir / fingerprint
        with disk_errors(out):
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir(parents=True)
            scratch.mkdir(exist_ok=True)
            reset_peak_memory()
            started = time.monotonic()
            try:
                summary = make(Work(out, scratch))
                manifest = _manifest(recipe, fingerprint, out, summary, time.monotonic() - started)
                record = sealed(json.loads(manifest.model_dump_json()))
                (out / MANIFEST).write_text(json.dumps(record, indent=1), encoding="utf-8")
                sync_tree(out)
                _set_aside(ref.path)
                os.replace(out, ref.path)
                sync(ref.path.parent)
            except BaseException as error:
                shutil.rmtree(out, ignore_errors=True)
                if isinstance(error, UserError):  # what is mended is another recipe: nothing resumes this one
                    shutil.rmtree(scratch, ignore_errors=True)
                raise
        shutil.rmtree(scratch, ignore_errors=True)
        return ref

    def _lock(self, name: str, wait: bool = True) -> AbstractContextManager[bool]:
        return file_lock(self.locks_dir / f"{name}.lock", wait=wait)


def _manifest(
    recipe: Recipe, fingerprint: str, out: Path, summary: Mapping[str, Any], seconds: float
) -> Manifest:
    files = file_entries(out)
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


def _set_aside(folder: Path) -> None:
    """Make way for an artifact that is built anew; the damaged one is kept for whoever looks into it."""
    if folder.exists():
        aside = folder.with_name(f".damaged-{folder.name}-{time.time_ns()}")
        logger.warning("the damaged %s was built anew; set aside as %s", folder, aside.name)
        os.replace(folder, aside)


def _require_folder(root: Path) -> None:
    if root.exists() and not root.is_dir():
        raise UserError(
            "the workspace is a file", where=str(root), expected="a folder", remedy="name another workspace"
        )


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found

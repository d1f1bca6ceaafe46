"""An artifact: its record ``artifact.json``, and the reference to it that travels between tasks."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from embedlib.errors import CorruptArtifact, first_line
from embedlib.integrity import Checksums, FileEntry, OtherSchema, damaged, read_sealed, require_files

SCHEMA_VERSION = 2
MANIFEST = "artifact.json"


class Manifest(BaseModel):
    """What ``artifact.json`` holds; ``digest`` is the identity of the content."""

    model_config = ConfigDict(frozen=True, extra="forbid")
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
            CorruptArtifact: It is missing, unreadable, of another schema version, or of another artifact.
        """
        manifest = read_manifest(self.path)
        if (manifest.kind, manifest.fingerprint) != (self.kind, self.fingerprint):
            raise damaged(
                self.path / MANIFEST,
                f"{self.kind}/{self.fingerprint}",
                f"{manifest.kind}/{manifest.fingerprint}, another artifact's folder",
            )
        return manifest

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

    def require_intact(
        self, checksums: Checksums | None = None, names: Collection[str] | None = None
    ) -> None:
        """Compare the content of its files with their checksums.

        Args:
            checksums: Those that are known; every byte is read when None.
            names: The files; all of them when None.

        Raises:
            CorruptArtifact: Naming the first file that is missing or differs.
        """
        files = self.manifest.files
        chosen = files if names is None else {name: files[name] for name in names if name in files}
        require_files(self.path, chosen, checksums)


def read_manifest(folder: Path) -> Manifest:
    """Read and check an artifact folder's ``artifact.json``.

    Raises:
        CorruptArtifact: It is missing, unreadable, or of a schema version this release does not know.
    """
    path = folder / MANIFEST
    try:
        return Manifest.model_validate(read_sealed(path, SCHEMA_VERSION))
    except OtherSchema as error:
        raise CorruptArtifact(
            "artifact of another schema version",
            where=str(path),
            expected=error.expected,
            found=error.found,
            remedy="open it with the version that wrote it; a run builds it anew",
        ) from error
    except (OSError, ValueError) as error:
        raise damaged(path, "the artifact's record", first_line(error)) from error

"""Which releases there are, which one is live, and what happened: the folder ``releases/``.

``releases/<number>/release.json`` is immutable; ``config.json`` beside it holds the options of the last
run that published this content. ``releases/current`` is a relative symbolic link replaced by one rename.
A release that was written and not live yet holds a mark (``PENDING``), which is removed after the swap;
only what holds it is ever removed as unfinished. ``releases/history.jsonl`` is the audit trail, written
last: losing it loses no release, and it restores a lost ``current``.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from embedlib.artifact import ArtifactRef
from embedlib.disk import sync, write_atomic
from embedlib.errors import ReleaseError
from embedlib.integrity import OtherSchema, read_sealed, sealed
from embedlib.retrieval.plan import DENSE, SearchPlan, TwoStagePlan

logger = logging.getLogger(__name__)

RELEASE_SCHEMA = 2
CONFIGURATION = "config.json"
CONFIGURATION_SCHEMA = 1
TEMPORARY = ".tmp-"
PENDING = ".pending"
#: What every release consists of; ``OPTIONAL`` may be there too.
PARTS = ("corpus", "model", "vectors", "index")
#: The decision behind it; a reranker, and the decision behind that.
OPTIONAL = ("decision", "reranker", "reranking")


class Part(BaseModel):
    """One artifact of a release: kind, fingerprint (where it lies) and digest (what it holds)."""

    model_config = ConfigDict(frozen=True)
    kind: str
    fingerprint: str
    digest: str

    def ref(self, root: Path) -> ArtifactRef:
        """The artifact in the workspace ``root``, wherever the workspace lies now."""
        path = root / "artifacts" / self.kind / self.fingerprint
        return ArtifactRef(kind=self.kind, fingerprint=self.fingerprint, path=path)


class Release(BaseModel):
    """One model, one index and one decision that belong together.

    ``parents`` names the release that was live before; ``search`` is how it is searched unless told
    otherwise, as its decision chose; ``rerank`` is how its part ``reranker``, where it has one, orders
    the first hits anew; ``reused`` is true when publishing found the same content live already, and is
    not stored.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_version: int = RELEASE_SCHEMA
    number: int
    created_at: str
    parts: dict[str, Part]
    parents: list[int] = []
    event: dict[str, Any] | None = None
    approval: dict[str, Any] | None = None
    figures: dict[str, Any] = {}
    search: SearchPlan = DENSE
    rerank: TwoStagePlan | None = None
    reused: bool = Field(default=False, exclude=True)

    @field_validator("parts")
    @classmethod
    def _whole(cls, parts: dict[str, Part]) -> dict[str, Part]:
        if missing := [name for name in PARTS if name not in parts]:
            raise ValueError(f"a release without {', '.join(missing)}")
        return parts

    def ref(self, root: Path, name: str) -> ArtifactRef:
        """One part (``model``, ``index``, ``vectors``, ``corpus``, ``decision``) in a workspace.

        Raises:
            ReleaseError: The release has no such part.
        """
        if name not in self.parts:
            raise ReleaseError(
                f"release {self.number} has no {name}", where=str(root), found=", ".join(sorted(self.parts))
            )
        return self.parts[name].ref(root)

    @property
    def model(self) -> Part:
        """The model's part."""
        return self.parts["model"]

    @property
    def answers(self) -> str:
        """How it is searched, in a few words."""
        return ", ".join(str(stage) for stage in (self.search, self.rerank) if stage is not None)


def releases_dir(root: Path) -> Path:
    """The workspace's ``releases`` folder."""
    return Path(root) / "releases"


def current_number(root: Path) -> int | None:
    """Number of the live release; one system call, so it can be asked before every search.

    Raises:
        ReleaseError: ``current`` names no release.
    """
    link = releases_dir(root) / "current"
    try:
        target = os.readlink(link)  # noqa: PTH115 - asked before every search; half of Path.readlink's time
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ReleaseError(
            "releases/current is not a symbolic link",
            where=str(link),
            remedy="`embedlib rollback` to a release that is there",
        ) from error
    if not target.isdecimal():
        raise ReleaseError("releases/current names no release", where=str(link), found=target)
    return int(target)


def live_number(root: Path) -> int | None:
    """``current_number`` for those who mend: None, with a warning, where ``current`` is spoiled."""
    try:
        return current_number(root)
    except ReleaseError as error:
        logger.warning("%s", error)
        return None


def read_release(root: Path, number: int) -> Release:
    """One release's record.

    Raises:
        ReleaseError: It is missing, damaged, or of another schema version.
    """
    path = releases_dir(root) / str(number) / "release.json"
    remedy = "`embedlib releases` lists those that can be read, `embedlib rollback --to` makes one live"
    try:
        release = Release.model_validate(read_sealed(path, RELEASE_SCHEMA))
        if release.number != number:
            raise ValueError(f"the record of release {release.number}")
        return release
    except OtherSchema as error:
        raise ReleaseError(
            f"release {number} has another schema version",
            where=str(path),
            expected=error.expected,
            found=error.found,
            remedy=remedy,
        ) from error
    except (OSError, ValueError) as error:
        raise ReleaseError(
            f"release {number} cannot be read",
            where=str(path),
            found=" ".join(str(error).split())[:200],
            remedy=remedy,
        ) from error


def read_configuration(root: Path, number: int) -> dict[str, Any] | None:
    """The options a release was made with; None where it does not know them.

    Raises:
        ReleaseError: They cannot be read.
    """
    path = releases_dir(root) / str(number) / CONFIGURATION
    try:
        return dict(read_sealed(path, CONFIGURATION_SCHEMA)["options"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, OtherSchema) as error:
        raise ReleaseError(
            f"the configuration of release {number} cannot be read",
            where=str(path),
            found=" ".join(str(error).split())[:200],
            remedy="give --config, or --data; the next publish writes it anew",
        ) from error


def write_configuration(folder: Path, values: Mapping[str, Any]) -> None:
    """Keep the options a release was made with in its folder."""
    record = sealed({"schema_version": CONFIGURATION_SCHEMA, "options": dict(values)})
    write_atomic(folder / CONFIGURATION, json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def current(root: Path) -> Release | None:
    """The live release, or None before the first one.

    Raises:
        ReleaseError: It cannot be read, or ``current`` is lost.
    """
    number = current_number(root)
    if number is None:
        require_not_lost(root)
        return None
    return read_release(root, number)


def require_not_lost(root: Path) -> None:
    """Where nothing is live, check that nothing ever was.

    Raises:
        ReleaseError: There are releases.
    """
    if kept := finished_numbers(root):
        raise ReleaseError(
            "releases/current is missing: no release is live",
            where=str(releases_dir(root)),
            found=f"releases {', '.join(map(str, kept))}",
            remedy=f"`embedlib rollback --to {kept[-1]}` makes that one live",
        )


def numbers(root: Path) -> list[int]:
    """Numbers of the releases that are kept, ascending."""
    folder = releases_dir(root)
    return sorted(int(p.name) for p in folder.glob("*") if p.name.isdecimal()) if folder.is_dir() else []


def finished_numbers(root: Path) -> list[int]:
    """``numbers`` without those that a publisher has written and not made live."""
    return [n for n in numbers(root) if not (releases_dir(root) / str(n) / PENDING).exists()]


def releases(root: Path) -> list[Release]:
    """Every release that is kept, newest first; one that cannot be read is left out with a warning."""
    found = []
    for number in reversed(numbers(root)):
        try:
            found.append(read_release(root, number))
        except ReleaseError as error:
            logger.warning("%s", error)
    return found


def swap(root: Path, number: int) -> None:
    """Make a release the live one: one rename; the old or the new one is live, never none.

    A folder that stands where the link belongs is set aside.
    """
    folder = releases_dir(root)
    temporary = folder / f"{TEMPORARY}current-{os.getpid()}"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(str(number))
    link = folder / "current"
    if link.is_dir() and not link.is_symlink():
        link.replace(folder / f"spoiled-current-{time.time_ns()}")
    temporary.replace(link)
    sync(folder)
    (folder / str(number) / PENDING).unlink(missing_ok=True)

"""Which releases there are, which one is live, and what happened: the folder ``releases/``.

``releases/<number>/release.json`` is immutable; ``config.json`` beside it holds the options of the last
run that published this content. ``releases/current`` is a relative symbolic link
replaced by one rename. ``releases/history.jsonl`` is the audit trail; it is written after the
swap, and ``reconcile`` adds what a crash between the two left out.
"""

from __future__ import annotations

import getpass
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from embedlib.errors import ReleaseError
from embedlib.retrieval.plan import DENSE, SearchPlan
from embedlib.store import ArtifactRef, disk_errors, file_lock, write_atomic

logger = logging.getLogger(__name__)

RELEASE_SCHEMA = 2
CONFIGURATION = "config.json"
TEMPORARY = ".tmp-"


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
    otherwise, as its decision chose; ``reused`` is true when publishing found the
    same content live already, and is not stored.
    """

    model_config = ConfigDict(frozen=True)
    schema_version: int = RELEASE_SCHEMA
    number: int
    created_at: str
    parts: dict[str, Part]
    parents: list[int] = []
    event: dict[str, Any] | None = None
    approval: dict[str, Any] | None = None
    figures: dict[str, Any] = {}
    search: SearchPlan = DENSE
    reused: bool = Field(default=False, exclude=True)

    def ref(self, root: Path, name: str) -> ArtifactRef:
        """One part (``model``, ``index``, ``vectors``, ``corpus``, ``decision``) in a workspace.

        Raises:
            ReleaseError: The release has no such part.
        """
        if name not in self.parts:
            raise ReleaseError(
                f"release {self.number} has no {name}",
                where=str(root),
                found=", ".join(sorted(self.parts)),
            )
        return self.parts[name].ref(root)

    @property
    def model(self) -> Part:
        """The model's part."""
        return self.parts["model"]

    def summary(self) -> dict[str, Any]:
        """One flat row for tables: number, time, fingerprints, trigger."""
        kinds = {name: part.fingerprint[:12] for name, part in self.parts.items()}
        row = {"number": self.number, "created_at": self.created_at, "search": str(self.search)}
        return {**row, **kinds, "event": self.event}


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
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        found = raw.get("schema_version") if isinstance(raw, dict) else None
        if found != RELEASE_SCHEMA:
            raise ReleaseError(
                f"release {number} has another schema version",
                where=str(path),
                expected=str(RELEASE_SCHEMA),
                found=str(found),
            )
        return Release.model_validate(raw)
    except (OSError, json.JSONDecodeError, ValidationError) as error:
        raise ReleaseError(
            f"release {number} cannot be read",
            where=str(path),
            found=str(error).splitlines()[0],
            remedy="`embedlib releases` lists those that can",
        ) from error


def read_configuration(root: Path, number: int) -> dict[str, Any] | None:
    """The options a release was made with; None where it does not know them.

    Raises:
        ReleaseError: They cannot be read.
    """
    path = releases_dir(root) / str(number) / CONFIGURATION
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        value = error
    if isinstance(value, dict):
        return value
    raise ReleaseError(
        f"the configuration of release {number} cannot be read",
        where=str(path),
        found=str(value).splitlines()[0],
        remedy="give --config, or --data; the next publish writes it anew",
    )


def write_configuration(folder: Path, values: Mapping[str, Any]) -> None:
    """Keep the options a release was made with in its folder."""
    write_atomic(folder / CONFIGURATION, json.dumps(values, indent=1, ensure_ascii=False) + "\n")


def current(root: Path) -> Release | None:
    """The live release, or None before the first one."""
    number = current_number(root)
    return None if number is None else read_release(root, number)


def numbers(root: Path) -> list[int]:
    """Numbers of the releases that are kept, ascending."""
    folder = releases_dir(root)
    return sorted(int(p.name) for p in folder.glob("*") if p.name.isdecimal()) if folder.is_dir() else []


def releases(root: Path) -> list[Release]:
    """Every release that is kept, newest first; one that cannot be read is left out with a warning."""
    found = []
    for number in reversed(numbers(root)):
        try:
            found.append(read_release(root, number))
        except ReleaseError as error:
            logger.warning("%s", error)
    return found


def history(root: Path) -> list[dict[str, Any]]:
    """The audit trail, oldest first: action, from, to, at, who, why.

    A torn last line, left by a power cut, is not part of it.
    """
    path = releases_dir(root) / "history.jsonl"
    if not path.is_file():
        return []
    *lines, _torn = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines]


def record(root: Path, action: str, before: int | None, after: int | None, **details: Any) -> None:
    """Append one line to the audit trail and sync it."""
    entry = {"action": action, "from": before, "to": after, "at": now(), **details}
    line = json.dumps({k: v for k, v in entry.items() if v is not None or k in ("from", "to")}) + "\n"
    path = releases_dir(root) / "history.jsonl"
    with path.open("a", encoding="utf-8") as stream:
        stream.write(line)
        stream.flush()
        os.fsync(stream.fileno())


def now() -> str:
    """The time in UTC, ISO 8601 to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def user_name() -> str:
    """Who runs this process, for the audit trail."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def swap(root: Path, number: int) -> None:
    """Make a release the live one: one rename; the old or the new one is live, never none."""
    folder = releases_dir(root)
    temporary = folder / f"{TEMPORARY}current-{os.getpid()}"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(str(number))
    temporary.replace(folder / "current")
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Make a folder's renames survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def publisher_lock(root: Path, *, wait: bool = True) -> Iterator[None]:
    """Only one process changes ``releases/`` at a time; leftovers are reconciled on entry.

    Raises:
        ReleaseError: Another publisher is at work and ``wait`` is false.
    """
    folder = releases_dir(root)
    folder.mkdir(parents=True, exist_ok=True)
    with file_lock(folder / ".lock", wait=wait) as held:
        if not held:
            raise ReleaseError(
                "another publisher is at work",
                where=str(folder),
                remedy="try again when it has finished, or publish with wait on",
            )
        with disk_errors(folder):
            reconcile_locked(root)
            yield


def reconcile(root: Path) -> list[str]:
    """Finish or undo what a killed publish or rollback left; returns what was done.

    Waits for a publisher that is at work.
    """
    folder = releases_dir(root)
    if not folder.is_dir():
        return []
    with file_lock(folder / ".lock"):
        return reconcile_locked(root)


def reconcile_locked(root: Path) -> list[str]:
    """``reconcile`` for a caller that holds the publisher's lock."""
    folder = releases_dir(root)
    done = []
    for leftover in folder.glob(f"{TEMPORARY}*"):
        _remove(leftover)
        done.append(f"removed the unfinished {leftover.name}")
    done += _mend_history(root)
    past = history(root)
    live = live_number(root)
    if live != (past[-1]["to"] if past else None):
        before = past[-1]["to"] if past else None
        record(root, "reconcile", before, live, why="a publisher was killed after the swap")
        done.append(f"recorded release {live} as live")
    known = {entry["to"] for entry in history(root)}
    for number in numbers(root):
        if number not in known:
            _remove(folder / str(number))
            done.append(f"removed release {number}, which was never live")
    return done


def _mend_history(root: Path) -> list[str]:
    path = releases_dir(root) / "history.jsonl"
    if not path.is_file() or not (data := path.read_bytes()) or data.endswith(b"\n"):
        return []
    write_atomic(path, data[: data.rfind(b"\n") + 1])
    return ["cut a torn line off history.jsonl"]


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:
        shutil.rmtree(path)

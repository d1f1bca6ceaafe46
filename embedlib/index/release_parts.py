"""Is a release whole? Each part is there, is the one that was published, and holds what was written.

What is made live or exported is read in full. What a reader opens is read in full once: the checksums
are remembered beside the releases, each under what the operating system says of the file (see
``embedlib.integrity.Stamp``), so that the next reader does not read it again unless the file changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from embedlib.artifact import ArtifactRef
from embedlib.errors import CorruptArtifact, EmbedlibError, MismatchError, ReleaseError
from embedlib.index.catalog import Release, current, numbers, read_configuration, read_release, releases_dir
from embedlib.index.history import garbled_lines, read_history
from embedlib.integrity import SEEN_HERE, Checksums
from embedlib.store import Store

#: What answers queries.
SERVED = ("model", "index", "vectors", "reranker")
#: Checksums of the files that were opened last.
SEEN_FILE = ".checksums.json"
_REMEDY = (
    "`embedlib verify` names everything that is damaged; `embedlib rollback --to` serves another release; "
    "`embedlib run` builds a new one"
)


def require_whole(
    root: Path, release: Release, names: Sequence[str] | None = None, checksums: Checksums | None = None
) -> None:
    """Compare the parts of a release, all of them when None, with what was published.

    Every byte is read of files whose checksums are not known.

    Raises:
        ReleaseError: A part is gone.
        MismatchError: Another artifact lies in a part's place.
        CorruptArtifact: A file of a part is missing or damaged.
    """
    for name in names or release.parts:
        _require_part(root, release, name, checksums)


def require_served(root: Path, release: Release) -> None:
    """``require_whole`` for what answers queries; files that have not changed since are not read again.

    Raises:
        ReleaseError: As ``require_whole``.
    """
    path = releases_dir(root) / SEEN_FILE
    checksums = Checksums.read(path)
    before = len(checksums)
    require_whole(root, release, [name for name in SERVED if name in release.parts], checksums)
    if len(checksums) != before:
        checksums.write(path)


def remember(root: Path, checksums: Checksums) -> None:
    """Spare readers the files that were read in full just now."""
    checksums.write(releases_dir(root) / SEEN_FILE)


def live_parts(store: Store) -> dict[str, ArtifactRef] | None:
    """The live release's artifacts by name, for a run that goes on from them; None where nothing is live.

    ``queries`` are those that the live index was tuned with. Its vectors and index are made anew, or
    found in the store, and are not looked at here.

    Raises:
        ReleaseError: The release cannot be read, or an artifact of it is gone.
        CorruptArtifact: An artifact of it is damaged.
    """
    release = current(store.root)
    if release is None:
        return None
    names = [name for name in release.parts if name not in ("vectors", "index")]
    require_whole(store.root, release, names, SEEN_HERE)
    queries = release.ref(store.root, "index").parents["queries"]
    parts = {name: release.ref(store.root, name) for name in release.parts}
    return {**parts, "queries": store.get(queries.kind, queries.fingerprint)}


def _require_part(root: Path, release: Release, name: str, checksums: Checksums | None) -> None:
    ref, published = release.ref(root, name), release.parts[name].digest
    whose = f"the {name} artifact of release {release.number}"
    if not ref.path.is_dir():
        raise ReleaseError(f"{whose} is gone", where=str(ref.path), remedy=_REMEDY)
    try:
        found = ref.digest
        if found == published:
            ref.require_intact(checksums)
    except CorruptArtifact as error:
        raise CorruptArtifact(
            f"{whose} is damaged: {error.what}",
            where=error.where,
            expected=error.expected,
            found=error.found,
            remedy=_REMEDY,
        ) from error
    if found != published:
        raise MismatchError(
            f"{whose} is not the one that was published",
            where=str(ref.path),
            expected=published,
            found=found,
            remedy=_REMEDY,
        )


class WorkspaceCheck(NamedTuple):
    """How many artifacts and releases there are, and what is wrong with them, a message each."""

    artifacts: int
    releases: int
    damaged: list[str]
    unusable: list[str]


def check_workspace(root: Path) -> WorkspaceCheck:
    """Compare every byte of every artifact with its checksum, and every release with its artifacts.

    Nothing is written to the workspace.
    """
    checksums = Checksums()  # of this check alone: each file is read once, and every one is
    refs = list(_folders(root / "artifacts"))
    damaged = [m for ref in refs for m in _message(partial(ref.require_intact, checksums))]
    return WorkspaceCheck(len(refs), len(numbers(root)), damaged, _unusable(root, checksums))


def _folders(artifacts: Path) -> Iterator[ArtifactRef]:
    """Every folder that stands where an artifact should, with a record or without."""
    for folder in sorted(artifacts.glob("*/[!.]*")):
        yield ArtifactRef(kind=folder.parent.name, fingerprint=folder.name, path=folder)


def _unusable(root: Path, checksums: Checksums) -> list[str]:
    said: list[str] = []
    for number in numbers(root):
        said += _message(partial(read_configuration, root, number))
        try:
            release = read_release(root, number)
        except EmbedlibError as error:
            said.append(str(error))
            continue
        for name in release.parts:
            said += _message(partial(require_whole, root, release, [name], checksums))
    said += [message for message in _message(partial(current, root)) if message not in said]
    if garbled := read_history(root)[1]:
        said.append(garbled_lines(root, garbled))
    return said


def _message(check: Callable[[], object]) -> Iterator[str]:
    """What a check raises, as text."""
    try:
        check()
    except EmbedlibError as error:
        yield str(error)

"""Everything that can be wrong with what a workspace holds: artifacts, releases, the link to the live one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from embedlib.artifact import ArtifactRef
from embedlib.errors import EmbedlibError
from embedlib.index.catalog import current, numbers, read_configuration, read_release
from embedlib.index.history import garbled_lines, read_history
from embedlib.index.release_parts import require_whole
from embedlib.integrity import Checksums


class WorkspaceCheck(NamedTuple):
    """How many artifacts and releases there are, and what is wrong with them, a message each."""

    artifacts: int
    releases: int
    damaged: list[str]
    unusable: list[str]


def check_workspace(root: Path) -> WorkspaceCheck:
    """Compare every byte of every artifact with its checksum, and every release with its artifacts.

    Args:
        root: The workspace; nothing is written to it.
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

"""A release's model as a folder to give away: its files, its card, how the release searches."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from embedlib.artifact import MANIFEST
from embedlib.disk import disk_errors
from embedlib.index.catalog import Release
from embedlib.index.export import export_folder
from embedlib.index.release_lock import ReleaseLock
from embedlib.index.release_parts import require_whole
from embedlib.json_file import write_json
from embedlib.publishing.card import model_card
from embedlib.publishing.facts import model_facts

INFO = "embedlib.json"


def export_model(
    root: Path,
    release: Release,
    out: Path,
    *,
    name: str,
    convert: Callable[[Path], dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Write a release's model with a card; the artifact is only read.

    Args:
        root: The workspace.
        release: Which release.
        out: Folder to write; it must not be there, or be empty.
        name: What the card calls the model.
        convert: Adds the model in another format to the folder, and returns what it measured of it.

    Returns:
        What ``embedlib.json`` holds.

    Raises:
        UserError: The folder cannot be written, or holds files.
        CorruptArtifact: The model's files are not those that were published.
        VerificationError: The converted model is not the model.
        DiskFull: No space left; nothing stays behind.
    """
    out = export_folder(out)
    hold = ReleaseLock(root, release.number)
    temporary = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        require_whole(root, release, ("model",))
        with disk_errors(out):
            out.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(
                release.ref(root, "model").path, temporary, ignore=shutil.ignore_patterns(MANIFEST)
            )
            info = {
                "release": release.number,
                "model": release.model.digest,
                "search": release.search.model_dump(mode="json"),
                **(convert(temporary) if convert else {}),
            }
            card = model_card(name, release, model_facts(root, release), info)
            (temporary / "README.md").write_text(card, encoding="utf-8")
            write_json(temporary / INFO, info)
            temporary.replace(out)
    finally:
        hold.close()
        shutil.rmtree(temporary, ignore_errors=True)
    return info

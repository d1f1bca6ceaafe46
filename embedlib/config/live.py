"""The configuration of the live release: what a publish keeps of it, and how later runs find it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embedlib.config.base import Section
from embedlib.config.root import Config, load_config
from embedlib.errors import UserError
from embedlib.index import catalog
from embedlib.store import require_workspace


def to_remember(config: Config) -> dict[str, Any]:
    """What a configuration says, as a release keeps it: no defaults, absolute paths.

    What belongs to one run or to one place is left out (the workspace, the command that was given, the
    permission to replace the documents), and so is what follows from other options.
    """
    said = explicit(config, absolute=True)
    source, labels = config.ingest.source, config.split.labels
    if labels.type == "auto" and labels.path == getattr(source, "path", None):
        said["split"].pop("labels")
    if config.ingest.tokenizer == config.model.name:
        said["ingest"].pop("tokenizer", None)
    said.pop("workspace", None)
    said.get("report", {}).pop("command", None)
    said.get("publish", {}).pop("replace_documents", None)
    return said


def explicit(section: Section, *, absolute: bool = False) -> dict[str, Any]:
    """The options that were given, as JSON values; a section's ``type`` always.

    ``absolute`` paths and model folders are found from any working directory.
    """
    given = [
        name for name in type(section).model_fields if name in section.model_fields_set or name == "type"
    ]
    return {name: _plain(getattr(section, name), absolute) for name in given}


def live_values(workspace: Path, *, required: bool = True) -> dict[str, Any]:
    """The options that the live release was made with.

    Raises:
        UserError: There is no workspace; or they are ``required``, and nothing live knows them.
    """
    root = require_workspace(workspace)
    number = catalog.current_number(root)
    found = None if number is None else catalog.read_configuration(root, number)
    if found is None and required:
        raise UserError(
            "no documents are named, and nothing is live whose documents could be meant"
            if number is None
            else f"no documents are named, and release {number} does not say which it was made from",
            where=str(root),
            expected="--data, or ingest.source in the configuration",
            remedy="name them once; the release that is published then knows them",
        )
    return found or {}


def with_documents(config: Config) -> Config:
    """The configuration, where it names its documents; else the live release's, with what is given on top.

    Raises:
        UserError: There is neither.
    """
    if config.ingest.source is not None:
        return config
    return load_config(base=live_values(config.workspace), values=explicit(config))


def _plain(value: Any, absolute: bool) -> Any:
    if isinstance(value, Section):
        return explicit(value, absolute=absolute)
    if isinstance(value, Mapping):
        return {str(key): _plain(item, absolute) for key, item in value.items()}
    if isinstance(value, tuple | list | set | frozenset):
        return [_plain(item, absolute) for item in value]
    if isinstance(value, Path):
        return str(value.expanduser().absolute() if absolute else value)
    if absolute and isinstance(value, str) and "/" in value and Path(value).is_dir():
        return str(Path(value).absolute())
    return value

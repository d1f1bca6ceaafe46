"""Checkpoints that are known to be whole before they are resumed from."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

from embedlib.disk import write_atomic
from embedlib.fingerprint import file_sha256

logger = logging.getLogger(__name__)

SEAL = "sealed.json"
PREFIX = "checkpoint-"


def seal(checkpoint: Path) -> None:
    """Note every file's checksum, which makes the checkpoint one to resume from."""
    files = sorted(p for p in checkpoint.rglob("*") if p.is_file() and p.name != SEAL)
    sums = {p.relative_to(checkpoint).as_posix(): file_sha256(p) for p in files}
    write_atomic(checkpoint / SEAL, json.dumps(sums))


def is_sound(checkpoint: Path) -> bool:
    """Whether the checkpoint was sealed and is byte for byte what was sealed."""
    try:
        sums = json.loads((checkpoint / SEAL).read_text(encoding="utf-8"))
        return bool(sums) and all(file_sha256(checkpoint / name) == value for name, value in sums.items())
    except (OSError, ValueError, AttributeError):
        return False


def latest_sound(folder: Path) -> Path | None:
    """The newest checkpoint that is sound; damaged ones are removed with a warning."""
    for checkpoint in sorted(folder.glob(f"{PREFIX}*"), key=step_of, reverse=True):
        if is_sound(checkpoint):
            return checkpoint
        logger.warning("checkpoint %s is damaged or unfinished; trying the one before", checkpoint.name)
        shutil.rmtree(checkpoint, ignore_errors=True)
    return None


def step_of(checkpoint: Path) -> int:
    """Optimiser steps done at a checkpoint, -1 if its name does not say."""
    number = checkpoint.name.removeprefix(PREFIX)
    return int(number) if number.isdigit() else -1

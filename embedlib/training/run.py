"""Runs a job and turns whatever ends it into one typed error on the way out."""

from __future__ import annotations

import errno
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from embedlib.errors import DiskFull, EmbedlibError, OutOfMemory, TrainingError
from embedlib.training.events import emit, emit_error
from embedlib.training.options import TrainingJob

#: How libraries word a failed allocation and a full disk (PyTorch's CPU allocator; safetensors, which
#: is Rust and gives its error as text).
MEMORY_WORDS = ("can't allocate memory", "not enough memory", "out of memory", "DefaultCPUAllocator")
DISK_WORDS = ("No space left on device", "os error 28", "Disk quota exceeded")


def run_job(path: Path) -> int:
    """Run the job in ``path``; returns the exit code. The last event is "done" or "error"."""
    try:
        job = TrainingJob.read(path)
        summary = kinds()[job.kind](job)
    except Exception as error:  # noqa: BLE001 (whatever it is, the parent gets one typed error)
        traceback.print_exc()
        emit_error(typed(error, path))
        return 1
    if os.environ.get("RANK", "0") == "0":
        emit("done", **summary)
    return 0


def kinds() -> dict[str, Callable[[TrainingJob], dict[str, Any]]]:
    """What each kind of job runs."""
    from embedlib.training.adapt import adapt
    from embedlib.training.distil import distil
    from embedlib.training.finetune import fine_tune
    from embedlib.training.probe import probe

    return {"fine-tune": fine_tune, "probe": probe, "adapt": adapt, "distil": distil}


def typed(error: BaseException, where: Path) -> EmbedlibError:
    """The typed error for an exception of any library."""
    text = str(error)
    if isinstance(error, EmbedlibError):
        return error
    if (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)) or _says(
        text, DISK_WORDS
    ):
        return DiskFull(
            "the disk is full",
            where=str(where.parent),
            found=text,
            remedy="free space and give the same command again; training resumes from its last checkpoint",
        )
    if (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or _says(text, MEMORY_WORDS)
    ):
        return OutOfMemory(
            "training ran out of memory",
            where=str(where.parent),
            found=text.splitlines()[0] if text else type(error).__name__,
            remedy="lower train.batch_size or train.mini_batch_tokens, or choose train.loss=cached-mnrl",
        )
    return TrainingError(
        "training failed",
        where=str(where.parent),
        found=f"{type(error).__name__}: {text}",
        remedy="the log beside the job has the traceback",
    )


def _says(text: str, words: tuple[str, ...]) -> bool:
    return any(word.lower() in text.lower() for word in words)

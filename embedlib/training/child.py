"""The training process: ``launch`` starts it, and it calls ``run_job``.

All that ``kinds`` imports counts to the code digest of a stage that launches.
"""

from __future__ import annotations

import errno
import logging
import os
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from embedlib.disk import file_lock
from embedlib.errors import DiskFull, EmbedlibError, OutOfMemory, TrainingError, first_line
from embedlib.memory import is_out_of_memory
from embedlib.process import cpu_cores, module_command, run_supervised
from embedlib.progress import Curve, Progress, no_curve, silent
from embedlib.training.options import TrainingJob, emit, emit_error, error_of, parse_event

logger = logging.getLogger(__name__)

#: glibc hands a freed tensor's pages back and takes new, zeroed ones for the next: a sixth of a step's
#: time at 185 tokens per text. The child keeps them, in one arena that forward and backward share.
KEEP_MEMORY = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}


def launch(
    job: TrainingJob,
    *,
    processes: int = 1,
    timeout_s: float | None = None,
    stall_s: float | None = None,
    progress: Progress = silent,
    curve: Curve = no_curve,
    env: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Run a job in a process of its own, or in several through ``torchrun``.

    Args:
        job: What to do; ``job.scratch`` must exist.
        processes: Training processes on this machine.
        timeout_s: Longest run in seconds.
        stall_s: Longest silence in seconds.
        progress: Progress callback: steps.
        curve: Callback for each loss and dev figure while the child trains.
        env: Variables for the child (``MLFLOW_RUN_ID`` …).

    Returns:
        The run's summary, numbers by name.

    Raises:
        EmbedlibError: The typed error that ended the child.
    """
    scratch = Path(job.scratch)
    job.write(scratch / "job.json")
    listener = _Listener(progress, curve)
    with device_lock():
        try:
            run_supervised(
                _command(scratch / "job.json", processes),
                log=scratch / "training.log",
                timeout_s=timeout_s,
                stall_s=stall_s,
                on_line=listener,
                env={**KEEP_MEMORY, **_threads(processes), **(env or {})},
            )
        except TrainingError as error:
            raise listener.error or error from None
    if listener.summary is None:
        raise TrainingError(
            "the training process ended without a result", where=str(scratch / "training.log")
        )
    return listener.summary


def device_file() -> Path:
    """The lock file of this user's GPUs on this machine, whatever the workspace: one for each visible set."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "all").replace("/", "-")
    return Path(tempfile.gettempdir()) / f"embedlib-gpu-{os.getuid()}-{visible}.lock"


@contextmanager
def device_lock() -> Iterator[None]:
    """Lock this machine's GPU: an operating-system lock, so that a crash of its holder frees it.

    Without a GPU nothing is locked.
    """
    import torch

    if not torch.cuda.is_available():
        yield
        return
    with file_lock(device_file()):
        yield


class _Listener:
    """Reads a child's events."""

    def __init__(self, progress: Progress, curve: Curve) -> None:
        self.progress, self.curve = progress, curve
        self.error: EmbedlibError | None = None
        self.summary: dict[str, Any] | None = None

    def __call__(self, line: str) -> None:
        event = parse_event(line)
        match event:
            case None:
                if line.startswith(("WARNING", "ERROR")):
                    logger.warning("training: %s", line)
            case {"event": "progress", "done": done, "total": total, "what": what}:
                self.progress(done, total, what)
            case {"event": "plan", "text": text}:
                logger.info("plan: %s", text)
            case {"event": "dev", "step": step, "value": value}:
                logger.info("dev nDCG@10 after %d steps: %.4f", step, value)
                self.curve("dev.nDCG@10", step, value)
            case {"event": "loss", "step": step, "value": value}:
                self.curve("loss", step, value)
            case {"event": "share", "share": share, "value": value}:
                logger.info("dev nDCG@10 with %.2f of the trained weights: %.4f", share, value)
            case {"event": "error"}:
                self.error = error_of(event)
            case {"event": "done"}:
                self.summary = {name: value for name, value in event.items() if name != "event"}


def _command(job: Path, processes: int) -> list[str]:
    if processes == 1:
        return module_command("embedlib.training", str(job))
    spread = ["--standalone", f"--nproc-per-node={processes}", "-m", "embedlib.training", str(job)]
    return module_command("torch.distributed.run", *spread)


def _threads(processes: int) -> dict[str, str]:
    """Each of several processes gets its share of the cores."""
    if processes == 1:
        return {}
    return {"OMP_NUM_THREADS": str(max(1, cpu_cores() // processes))}


#: How libraries word a full disk (safetensors, which is Rust and gives its error as text).
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
    from embedlib.training.rerank import train_reranker

    return {
        "fine-tune": fine_tune,
        "probe": probe,
        "adapt": adapt,
        "distil": distil,
        "rerank": train_reranker,
    }


def typed(error: BaseException, where: Path) -> EmbedlibError:
    """The typed error for an exception of any library."""
    text = str(error)
    if isinstance(error, EmbedlibError):
        return error
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if full or any(word.lower() in text.lower() for word in DISK_WORDS):
        return DiskFull(
            "the disk is full",
            where=str(where.parent),
            found=text,
            remedy="free space and give the same command again; training resumes from its last checkpoint",
        )
    if is_out_of_memory(error):
        return OutOfMemory(
            "training ran out of memory",
            where=str(where.parent),
            found=first_line(error),
            remedy="lower batch_size, max_length or mini_batch_tokens, or choose train.loss=cached-mnrl",
        )
    return TrainingError(
        "training failed",
        where=str(where.parent),
        found=f"{type(error).__name__}: {text}",
        remedy="the log beside the job has the traceback",
    )

"""A child process that cannot outlive, outwait or outlast its parent's patience, nor run a stranger's code.

Every Python process that is started here or in ``flows`` gets its command from ``module_command`` and
its environment from ``child_environment``: a ``random.py`` among somebody's documents is not imported.

Work that forks, hangs or eats memory (training) runs in a process of its own. The child leads its
own session, so that ending it ends everything it started; the kernel kills it when the thread that
started it dies; its output goes to a file, which a pipe held by a grandchild cannot keep open.

``python -m embedlib.process PARENT_PID COMMAND…`` is the small launcher that asks the kernel for
that signal and then becomes the command: no Python code runs between fork and exec in a process
that may have threads.
"""

from __future__ import annotations

import codecs
import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from embedlib.errors import OutOfMemory, TrainingError

logger = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1
POLL_S = 0.1
GRACE_S = 5.0
TAIL_BYTES = 2000


def module_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module, and imports nothing from the working directory."""
    return [sys.executable, "-P", "-m", module, *arguments]


def cpu_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def supervised_command(command: Sequence[str]) -> list[str]:
    """The command that runs another one and ends with this process, however this one ends."""
    return module_command("embedlib.process", str(os.getpid()), *command)


def child_environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment for a child, which with its own children keeps out of the working directory.

    Relative entries of ``PYTHONPATH`` go (an empty one is the working directory); uvicorn, which puts
    the working directory first by itself, looks where this package is.
    """
    environment = {**os.environ, **(changes or {})}
    absolute = [p for p in environment.pop("PYTHONPATH", "").split(os.pathsep) if Path(p).is_absolute()]
    if absolute:
        environment["PYTHONPATH"] = os.pathsep.join(absolute)
    return environment | {"PYTHONSAFEPATH": "1", "UVICORN_APP_DIR": str(Path(__file__).parent.parent)}


def run_supervised(
    command: Sequence[str],
    *,
    log: Path,
    timeout_s: float | None,
    stall_s: float | None,
    on_line: Callable[[str], None],
    env: Mapping[str, str] | None = None,
) -> None:
    """Run a command to its end, relaying its output line by line, and leave nothing behind.

    Args:
        command: Program and arguments.
        log: File that gets the child's stdout and stderr (appended to).
        timeout_s: Longest run in seconds; None for no limit.
        stall_s: Longest silence in seconds; None for no limit.
        on_line: Called with every complete line of output, without its line end, in this thread.
        env: Variables added to this process's environment.

    Raises:
        OutOfMemory: The child was killed with SIGKILL by somebody else: the kernel, out of memory.
        TrainingError: Exit code other than 0, another signal, time-out or silence.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as sink, log.open("rb") as source:
        source.seek(0, os.SEEK_END)
        lines = _Lines(source, on_line)
        child = subprocess.Popen(
            supervised_command(command),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=child_environment(env),
        )
        with _ended(child):
            code = _wait(child, lines, timeout_s, stall_s, log)
        lines.relay(last=True)
    if code != 0:
        raise _failure(code, command, log)


def _wait(
    child: subprocess.Popen[bytes], lines: _Lines, timeout_s: float | None, stall_s: float | None, log: Path
) -> int:
    started = heard = time.monotonic()
    while child.poll() is None:
        if lines.relay():
            heard = time.monotonic()
        now = time.monotonic()
        if timeout_s is not None and now - started > timeout_s:
            raise _ended_by_us(f"the process was still running after {timeout_s:g} s", "timeout_s", log)
        if stall_s is not None and now - heard > stall_s:
            raise _ended_by_us(f"the process gave no sign of life for {stall_s:g} s", "stall_s", log)
        time.sleep(POLL_S)
    return int(child.returncode)


class _Lines:
    """Follows a growing file and hands on its complete lines."""

    def __init__(self, source: BinaryIO, on_line: Callable[[str], None]) -> None:
        self.source, self.on_line = source, on_line
        self.decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
        self.rest = ""

    def relay(self, last: bool = False) -> bool:
        """Hand on what has come; returns whether anything came."""
        block = self.source.read()
        self.rest += self.decode(block, last)
        *complete, self.rest = self.rest.split("\n")
        if last and self.rest:
            complete, self.rest = [*complete, self.rest], ""
        for line in complete:
            self.on_line(line.rstrip("\r"))
        return bool(block)


@contextmanager
def _ended(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """End the child's whole group on the way out, whatever the reason."""
    try:
        yield
    finally:
        for number, patience in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, GRACE_S)):
            if not _signal_group(child.pid, number):
                break
            _reap(child, patience)


def _signal_group(group: int, number: signal.Signals) -> bool:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _reap(child: subprocess.Popen[bytes], patience: float) -> None:
    try:
        child.wait(timeout=patience)
    except subprocess.TimeoutExpired:
        logger.warning("process group %d did not end within %g s", child.pid, patience)


def _ended_by_us(what: str, option: str, log: Path) -> TrainingError:
    return TrainingError(
        what,
        where=str(log),
        remedy=f"its process group was ended; raise {option} if it needs longer, and give the same "
        "command again to resume from the last checkpoint",
    )


def _failure(code: int, command: Sequence[str], log: Path) -> TrainingError:
    if code in (-signal.SIGKILL, 128 + signal.SIGKILL):
        return OutOfMemory(
            "the process was killed (SIGKILL), which is what the kernel does when memory runs out",
            where=str(log),
            found=_tail(log),
            remedy="lower the batch or mini-batch size, or give the machine more memory; the same command "
            "resumes from the last checkpoint",
        )
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return TrainingError(
        f"the process ended with {how}",
        where=f"{' '.join(command[:4])} (log: {log})",
        found=_tail(log),
        remedy="the log has the whole story; the same command resumes from the last checkpoint",
    )


def _tail(log: Path) -> str:
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - TAIL_BYTES))
        return stream.read().decode(errors="replace").strip()


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when the thread that started it dies (Linux: ``prctl(2)``).

    Args:
        parent: Process id of the parent; if it is gone already, this process ends at once.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)


def _become(arguments: Sequence[str]) -> None:
    parent, command = int(arguments[0]), list(arguments[1:])
    die_with_parent(parent)
    try:
        os.execvp(command[0], command)  # noqa: S606 (the caller's command, no shell)
    except OSError as error:
        sys.stderr.write(f"cannot run {command[0]}: {error}\n")
        sys.exit(127)


if __name__ == "__main__":
    _become(sys.argv[1:])

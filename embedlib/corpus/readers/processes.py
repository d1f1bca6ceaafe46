"""Reading files in other processes, each of which may be ended and started again between two of them."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from embedlib.corpus.readers import worker
from embedlib.corpus.readers.file import Bounds
from embedlib.corpus.records import Item, Record, Rejected
from embedlib.process import child_environment, cpu_cores, module_command, supervised_command

#: Variables that the process is given: files from anywhere are parsed without the run's secrets at hand.
_KEPT = "PATH HOME LANG LC_ALL LC_CTYPE TMPDIR PYTHONPATH PYTHONSAFEPATH VIRTUAL_ENV LD_LIBRARY_PATH"
#: One thread; and the system's allocator, which fails at once at the memory limit: Python's own asks for
#: another arena for each object there, three vain system calls an object, for minutes.
_SET = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONMALLOC": "malloc"}
_BLOCK = 1 << 16
#: Each may take all the memory that one may take.
_MOST_PROCESSES = 8


class ReadingProcess:
    """Reads files one after the other in a process of its own."""

    def __init__(self, encoding: str, bounds: Bounds) -> None:
        self.encoding, self.bounds = encoding, bounds
        self._child: subprocess.Popen[bytes] | None = None
        self._begun: list[bytes] = []

    def read(self, path: Path, name: str) -> Iterator[Item]:
        """The documents of a file, or why there are none."""
        child = self._started()
        request = {"path": str(path.absolute()), "name": name, "encoding": self.encoding}
        try:
            assert child.stdin is not None
            child.stdin.write(json.dumps(request | {"bounds": asdict(self.bounds)}).encode() + b"\n")
            child.stdin.flush()
            for line in self._lines(child):
                kind, values = json.loads(line)
                if kind == worker.END:
                    return
                yield Record(*values) if kind == "record" else Rejected(*values)
        except TimeoutError:
            self.close()
            limit = f"ingest.files.timeout_s is {self.bounds.timeout_s:g}"
            yield Rejected(name, f"too large: not read within the time allowed ({limit})")
        except (EOFError, BrokenPipeError):
            code = child.wait()
            self.close()
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            yield Rejected(name, f"damaged: the process that read it ended with {how}")

    def _lines(self, child: subprocess.Popen[bytes]) -> Iterator[bytes]:
        """Lines of the answer as they come.

        Raises:
            TimeoutError: The file takes too long.
            EOFError: The process ended.
        """
        assert child.stdout is not None
        deadline = time.monotonic() + self.bounds.timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            while True:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise TimeoutError
                block = os.read(child.stdout.fileno(), _BLOCK)
                if not block:
                    raise EOFError
                first, *others = block.split(b"\n")
                self._begun.append(first)  # a long document is a line of many blocks
                for other in others:
                    line, self._begun = b"".join(self._begun), [other]
                    yield line

    def _started(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            self._begun = []
            self._child = subprocess.Popen(
                supervised_command(module_command(worker.__name__)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_environment(),
                start_new_session=True,
            )
        return self._child

    def close(self) -> None:
        """End the process."""
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        child.wait()
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):  # a request that a dead process never took
                    stream.close()


class ReadingProcesses:
    """A process for each core, which read different files at the same time."""

    def __init__(self, encoding: str, bounds: Bounds) -> None:
        self.count = min(cpu_cores(), _MOST_PROCESSES)
        self._all = [ReadingProcess(encoding, bounds) for _ in range(self.count)]
        self._idle: queue.SimpleQueue[ReadingProcess] = queue.SimpleQueue()
        for process in self._all:
            self._idle.put(process)
        self._threads = ThreadPoolExecutor(self.count)

    def submit(self, path: Path, name: str) -> Future[list[Item]]:
        """Have a file read as soon as a process is idle."""
        return self._threads.submit(self._read, path, name)

    def _read(self, path: Path, name: str) -> list[Item]:
        process = self._idle.get()
        try:
            return list(process.read(path, name))
        finally:
            self._idle.put(process)

    def __enter__(self) -> ReadingProcesses:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)
        for process in self._all:
            process.close()


def _environment() -> dict[str, str]:
    environment = child_environment()
    kept = {name: environment[name] for name in _KEPT.split() if name in environment}
    return {**kept, **_SET}

"""A run at a terminal: its stages as they go, warnings, and everything else in a file of the workspace."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from embedlib import progress
from embedlib.cli.console import console, plain
from embedlib.disk import disk_errors
from embedlib.errors import EmbedlibError

FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
#: Lines between two reports of one stage where nothing can be drawn.
QUIET_S = 30.0
STARTING = "starting"
#: How many of a curve's last values a person wants to see.
SHOWN = {"dev.nDCG@10": 4, "loss": 1}
#: Columns from which on there is room for bars.
WIDE = 100
STYLES = {"done": "green", "reused": "cyan", "failed": "red"}


@contextmanager
def terminal(workspace: Path, name: str, verbosity: int = 0) -> Iterator[logging.Handler]:
    """Show a run on stderr while it lasts; gives the handler of its log records.

    They go to a file in the workspace's ``logs``; ``verbosity`` 1 shows what is logged, -1 errors alone.
    """
    log = workspace.expanduser() / "logs" / f"{name}-{datetime.now():%Y%m%d-%H%M%S}.log"
    with disk_errors(log.parent):
        log.parent.mkdir(parents=True, exist_ok=True)
        file = logging.FileHandler(log, encoding="utf-8")
    file.setFormatter(logging.Formatter(FORMAT))
    screen = console(stderr=True)
    drawn = verbosity == 0 and sys.stderr.isatty()
    view: _Bars | _Lines = _Bars(screen) if drawn else _Lines(screen if verbosity >= 0 else None)
    handler = _Records(view, file, verbosity)
    if verbosity >= 0:
        screen.print(plain(f"{name} in {workspace}; everything is logged in {log}", "dim"), soft_wrap=True)
    progress.watching.append(view)
    try:
        with view:
            yield handler
    finally:
        progress.watching.remove(view)
        logging.getLogger().removeHandler(handler)  # the flow put it there
        file.close()


class _Records(logging.Handler):
    """All records to the file; to the screen what a person has to know, in one line."""

    LEVELS = {-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO, 2: logging.DEBUG}  # noqa: RUF012

    def __init__(self, view: _Bars | _Lines, file: logging.Handler, verbosity: int) -> None:
        super().__init__()
        self.view, self.file, self.verbosity = view, file, verbosity
        self.least = self.LEVELS[max(-1, min(verbosity, 2))]

    def emit(self, record: logging.LogRecord) -> None:
        """Write it, and show it if it matters."""
        self.file.handle(record)
        if record.levelno >= self.least and not (self.verbosity < 1 and _of_prefect(record)):
            head = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
            self.view.line(plain(head + record.getMessage()))


def _of_prefect(record: logging.LogRecord) -> bool:
    """Prefect's own words on runs: their outcome is printed, or their error told, by the command."""
    return record.name.startswith("prefect") or (
        record.exc_info is not None and isinstance(record.exc_info[1], EmbedlibError)
    )


class _Bars:
    """A line a stage: its state, bar, rate and time left; redrawn in place."""

    def __init__(self, screen: Console) -> None:
        self._bars = Progress(
            TextColumn("{task.fields[state]:>8}", style="dim", markup=False),
            TextColumn("{task.description}", markup=False),
            *([BarColumn(bar_width=24)] if screen.width >= WIDE else []),
            TextColumn("{task.fields[what]}{task.fields[curves]}", style="dim", markup=False),
            TimeElapsedColumn(),
            console=screen,
            refresh_per_second=4,
        )
        self._stages: dict[str, TaskID] = {}
        self._first: dict[tuple[str, str], tuple[float, int]] = {}
        self._curves: dict[str, dict[str, list[float]]] = {}

    def __enter__(self) -> _Bars:
        self._bars.start()
        self.began(STARTING)
        return self

    def __exit__(self, *_: object) -> None:
        self._end_starting()
        for task in self._bars.tasks:
            if task.fields["state"] == "running":
                self._bars.update(task.id, state="stopped")
                self._bars.stop_task(task.id)
        self._bars.stop()

    def line(self, text: Text) -> None:
        """Print a line above the stages."""
        self._bars.console.print(text, soft_wrap=True)

    def began(self, stage: str) -> None:
        """Add the stage's line."""
        if stage != STARTING:
            self._end_starting()
        self._stages[stage] = self._bars.add_task(stage, total=None, state="running", what="", curves="")

    def ended(self, stage: str, how: str) -> None:
        """Complete the stage's line."""
        task = self._stages.get(stage)
        if task is not None:
            self._bars.update(task, total=1, completed=1 if how != "failed" else 0, state=how)
            self._bars.stop_task(task)

    def progress(self, stage: str, done: int, total: int | None, what: str) -> None:
        """Move the stage's bar."""
        task = self._stages.get(stage)
        if task is not None:
            rate = _rate(self._first.setdefault((stage, what), (time.monotonic(), done)), done, total)
            self._bars.update(task, total=total, completed=done, what=f"{what} {_of(done, total)}{rate}")

    def point(self, stage: str, name: str, step: int, value: float) -> None:
        """Show the last loss, and the dev figures as they grow."""
        curves = self._curves.setdefault(stage, {})
        curves.setdefault(name, []).append(value)
        if stage in self._stages:
            last = {n.partition(".")[0]: points[-SHOWN.get(n, 1) :] for n, points in curves.items()}
            shown = ", ".join(f"{n} {' '.join(f'{v:.3f}' for v in points)}" for n, points in last.items())
            self._bars.update(self._stages[stage], curves=f"\n{shown}")

    def _end_starting(self) -> None:
        if STARTING in self._stages:
            self._bars.remove_task(self._stages.pop(STARTING))


class _Lines:
    """A line when a stage ends, and now and then one of a long stage: for files, pipes and -v."""

    def __init__(self, screen: object | None) -> None:
        self._screen = screen
        self._began: dict[str, float] = {}
        self._told: dict[str, float] = {}
        self._first: dict[tuple[str, str], tuple[float, int]] = {}

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is drawn, nothing is left."""

    def line(self, text: Text) -> None:
        """Print a line."""
        (self._screen or console(stderr=True)).print(text, soft_wrap=True)  # type: ignore[attr-defined]

    def began(self, stage: str) -> None:
        """Remember when."""
        self._began[stage] = self._told[stage] = time.monotonic()

    def ended(self, stage: str, how: str) -> None:
        """Print the stage with its outcome and its seconds."""
        seconds = time.monotonic() - self._began.pop(stage, time.monotonic())
        if self._screen:
            self.line(plain(f"{stage:<20} {how:<7} {seconds:6.1f} s", STYLES.get(how, "")))

    def progress(self, stage: str, done: int, total: int | None, what: str) -> None:
        """Print how far it is, twice a minute."""
        first, now = self._first.setdefault((stage, what), (time.monotonic(), done)), time.monotonic()
        if self._screen and now - self._told.get(stage, now) > QUIET_S:
            self._told[stage] = now
            self.line(plain(f"{stage:<20} {what} {_of(done, total)}{_rate(first, done, total)}"))

    def point(self, stage: str, name: str, step: int, value: float) -> None:
        """Print dev figures; a line per loss would be too many."""
        if self._screen and SHOWN.get(name, 1) > 1:
            self.line(plain(f"{stage:<20} {name} {value:.4f} after {step:,} steps"))


def _of(done: int, total: int | None) -> str:
    return f"{done:,} of {total:,}" if total else f"{done:,}"


def _rate(first: tuple[float, int], done: int, total: int | None) -> str:
    """Units a second and time left since the first report, so that resumed work does not look fast."""
    seconds, more = time.monotonic() - first[0], done - first[1]
    if seconds < 1 or more <= 0:
        return ""
    left = f", {timedelta(seconds=round((total - done) * seconds / more))} left" if total else ""
    return f", {more / seconds:.3g}/s{left}"

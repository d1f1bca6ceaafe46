"""Progress of a stage in the Prefect UI."""

from __future__ import annotations

import re
import time
from typing import cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from embedlib.progress import LogProgress


class UiProgress:
    """A progress artifact for each long piece of work, updated at most every ``every_s`` seconds.

    Work that ends within ``every_s`` makes no artifact.
    """

    def __init__(self, stage: str, every_s: float = 5.0) -> None:
        self.stage, self.every_s = stage, every_s
        self._log = LogProgress(every_s=15.0)
        self._artifacts: dict[str, UUID] = {}
        self._last: dict[str, float] = {}

    def __call__(self, done: int, total: int | None, what: str) -> None:
        """Show it, if the last update is old enough."""
        self._log(done, total, what)
        now = time.monotonic()
        last = self._last.setdefault(what, now)
        finished = total is not None and done >= total
        if not total or (now - last < self.every_s and not (finished and what in self._artifacts)):
            return
        self._last[what] = now
        share = min(100.0, 100.0 * done / total)
        if what in self._artifacts:
            update_progress_artifact(self._artifacts[what], progress=share)
        else:
            key = artifact_key(f"{self.stage}-{what}")
            made = create_progress_artifact(share, key=key, description=f"{self.stage}: {what}")
            self._artifacts[what] = cast(UUID, made)  # a task without async gets the id itself


def artifact_key(text: str) -> str:
    """Prefect wants lower-case letters, digits and single dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:100]

"""Progress of a stage in the Prefect UI."""

from __future__ import annotations

import re
import time
from typing import cast
from uuid import UUID

from prefect import get_run_logger
from prefect.artifacts import create_progress_artifact, update_progress_artifact

from embedlib.errors import EmbedlibError
from embedlib.progress import Curve, LogProgress
from embedlib.tracking.tracker import Tracker


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


#: Seconds between two deliveries.
DELIVERY_S = 2.0


def tracked_curve(tracker: Tracker, stage: str) -> Curve:
    """A curve whose points go to MLflow as they come, in the background; training never fails by it."""
    sent = time.monotonic() - DELIVERY_S

    def tell(name: str, step: int, value: float) -> None:
        nonlocal sent
        try:
            tracker.point(f"{stage}/{name}", step, value)
            if time.monotonic() - sent >= DELIVERY_S:
                sent = time.monotonic()
                tracker.flush_soon()
        except (EmbedlibError, OSError) as error:
            get_run_logger().warning("a point of %s was not recorded: %s", name, error)

    return tell

"""Curves of a training in MLflow while it trains."""

from __future__ import annotations

import time

from prefect import get_run_logger

from embedlib.errors import EmbedlibError
from embedlib.progress import Curve
from embedlib.tracking import Tracker

#: Seconds between two deliveries.
EVERY_S = 2.0


def tracked_curve(tracker: Tracker, stage: str) -> Curve:
    """A curve whose points go to MLflow as they come, in the background; training never fails by it."""
    sent = time.monotonic() - EVERY_S

    def tell(name: str, step: int, value: float) -> None:
        nonlocal sent
        try:
            tracker.point(f"{stage}/{name}", step, value)
            if time.monotonic() - sent >= EVERY_S:
                sent = time.monotonic()
                tracker.flush_soon()
        except (EmbedlibError, OSError) as error:
            get_run_logger().warning("a point of %s was not recorded: %s", name, error)

    return tell

"""The vector store follows what is live here; where it cannot, the release is live all the same."""

from __future__ import annotations

from typing import Any

from prefect import get_run_logger
from prefect.client.schemas.objects import State
from prefect.states import Completed

from embedlib.config.root import Config
from embedlib.errors import EmbedlibError, ServiceError
from embedlib.index.catalog import current_number
from flows.terminal import tell_now
from tasks.context import RunContext
from tasks.release import emit_event, push_index


def follow(run: RunContext, config: Config, *, last: bool = True) -> str:
    """Bring the live release into the configured store; where the task fails, the run goes on.

    Args:
        run: The flow run.
        config: Its options.
        last: Whether the run does not try once more: then the person at the terminal is told.

    Returns:
        In one sentence what is left to do; empty where nothing is.
    """
    error = push_index(run, config)
    if error is None:
        return ""
    number = current_number(run.workspace)
    behind = ServiceError(
        f"release {number} is live, but the vector store did not follow",
        found=f"{error.what}: {error.found}" if isinstance(error, EmbedlibError) else repr(error),
        remedy=f"mend the cause, then `embedlib push-index --workspace {run.workspace}`",
    )
    get_run_logger().warning(str(behind))
    if last:
        tell_now(behind)
        evidence = {"release": number, "error": str(error), "remedy": behind.remedy}
        emit_event(run, "embedlib.store.behind", evidence)
        run.tracker.describe(tags={"vector store": "did not follow"})
    return f"{behind.what}: {behind.remedy}"


def completed(data: Any, left: str, message: str = "") -> State[Any]:
    """The end of a run that did what it was for, with what ``follow`` left to do in its message."""
    return Completed(message="; ".join(filter(None, (message, left))) or None, data=data)

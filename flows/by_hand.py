"""Flows started from a terminal: the command line finds them here by entry point.

A configured Prefect server that answers is used; else Prefect's ephemeral one.
"""

from __future__ import annotations

import os
from typing import Any

QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "embedlib",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "TQDM_DISABLE": "1",
}


def start(name: str, **parameters: Any) -> Any:
    """Run a flow in this process and return its result.

    Args:
        name: ``lifecycle``, ``refresh``, ``evaluate`` or ``monitor``.
        **parameters: The flow's own parameters.

    Raises:
        ServiceError: A Prefect server is configured and does not answer.
        EmbedlibError: Whatever stopped the flow.
    """
    for key, value in QUIET.items():
        os.environ.setdefault(key, value)
    from importlib import import_module

    require_server()
    flow = getattr(import_module(f"flows.{name}"), name)
    return flow(**parameters)


def require_server() -> None:
    """Check that the configured server answers, if one is configured."""
    import httpx
    from prefect.settings import get_current_settings

    from embedlib.errors import ServiceError

    url = get_current_settings().api.url
    if not url:
        return
    try:
        httpx.get(f"{url}/health", timeout=10).raise_for_status()
    except httpx.HTTPError as error:
        raise ServiceError(
            "the configured Prefect server does not answer",
            where=str(url),
            found=type(error).__name__,
            remedy="start it (`embedlib ui`), or unset PREFECT_API_URL to run without one",
        ) from error

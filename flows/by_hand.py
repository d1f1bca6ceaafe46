"""Flows started from a terminal: the command line finds them here by entry point.

A configured Prefect server that answers is used; else Prefect's ephemeral one.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "embedlib",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "TQDM_DISABLE": "1",
}

#: What every flow comes to need: imported while the ephemeral server starts, which takes as long.
#: ``embedlib.tracking`` comes first: it tells MLflow to be quiet.
LIBRARIES = ("embedlib.tracking", "sentence_transformers", "mlflow.tracking")


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
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    if settings.api.url:
        require_server(settings.api.url)
    elif settings.server.ephemeral.enabled:
        start_server()
    flow = getattr(import_module(f"flows.{name}"), name)
    return flow(**parameters)


def start_server() -> None:
    """Start Prefect's ephemeral server, and import the libraries meanwhile."""
    from prefect.server.api.server import SubprocessASGIServer

    with ThreadPoolExecutor(1) as pool:
        started = pool.submit(SubprocessASGIServer().start)
        for name in LIBRARIES:
            import_module(name)
        started.result()


def require_server(url: str) -> None:
    """Check that the configured server answers.

    Raises:
        ServiceError: It does not.
    """
    import httpx

    from embedlib.errors import ServiceError

    try:
        httpx.get(f"{url}/health", timeout=10).raise_for_status()
    except httpx.HTTPError as error:
        raise ServiceError(
            "the configured Prefect server does not answer",
            where=url,
            found=type(error).__name__,
            remedy="start it (`embedlib ui`), or unset PREFECT_API_URL to run without one",
        ) from error

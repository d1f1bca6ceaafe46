"""What the command line does with Prefect: it finds it here, by entry point.

A configured Prefect server that answers is used; else one of this process's own.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from embedlib.errors import EmbedlibError
from flows.own_server import OwnServer

QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "embedlib",
    "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": "",  # a temporary server, ours or Prefect's, has no pages
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "TQDM_DISABLE": "1",
}

#: Imported while a server of our own starts, as far as that takes; later, where they are needed.
#: ``embedlib.tracking`` comes first: it tells MLflow to be quiet.
LIBRARIES = ("embedlib.tracking", "mlflow.tracking", "sentence_transformers")


def start(
    name: str,
    tell: Callable[[EmbedlibError], None] | None = None,
    records: logging.Handler | None = None,
    **parameters: Any,
) -> Any:
    """Run a flow in this process and return its result.

    Args:
        name: ``lifecycle``, ``refresh``, ``evaluate`` or ``monitor``.
        tell: Told at once of an error that ends the run; without it, Prefect logs it its own way.
        records: Gets what is logged, in place of Prefect's console.
        **parameters: The flow's own parameters.

    Raises:
        ServiceError: A Prefect server is configured and does not answer.
        EmbedlibError: Whatever stopped the flow.
    """
    quiet()
    own = None if os.environ.get("PREFECT_API_URL") else OwnServer()
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    if own and (settings.api.url or not settings.server.ephemeral.enabled):
        own.stop()  # Prefect's profile names a server, or forbids a temporary one
        own = None
    if settings.api.url:
        require_server(settings.api.url)
    flow = getattr(import_module(f"flows.{name}"), name)
    if own:
        for library in LIBRARIES:
            if not own.answers():
                import_module(library)
        own.use(settings.server.ephemeral.startup_timeout_seconds)
    if tell:
        from flows.terminal import at_terminal

        at_terminal(tell, records)
    return flow(**parameters)


def automations(silence_s: float) -> list[str]:
    """Put the automations on the configured server, see ``flows.automations.install``.

    Raises:
        ServiceError: No server is configured, or it does not answer.
    """
    quiet()
    require_configured_server()
    from flows.automations import install

    return install(silence_s)


def deploy(config: Mapping[str, Any], *, keep: bool = False) -> list[str]:
    """Put the deployments on the configured server, see ``flows.deploy.deploy``.

    Args:
        config: What each deployment runs with.
        keep: Leave alone deployments of the same workspace that say as much as ``config``: somebody
            may have changed them.

    Returns:
        The names of what was deployed.

    Raises:
        ServiceError: No server is configured, or it does not answer or refuses.
    """
    quiet()
    require_configured_server()
    from flows.deploy import deploy as put
    from flows.deploy import deployed_config, names_documents

    there = deployed_config() if keep else None
    same = there is not None and there.get("workspace") == config["workspace"]
    if there and same and (names_documents(there) or not names_documents(config)):
        return []
    return put(config, Path.cwd())


def quiet() -> None:
    """Settings that Prefect has to find when it is imported: no telemetry, our records in its logs."""
    for key, value in QUIET.items():
        os.environ.setdefault(key, value)


def require_configured_server() -> None:
    """Check that a server is configured, and that it answers.

    Raises:
        ServiceError: There is none, or it does not.
    """
    from prefect.settings import get_current_settings

    from embedlib.errors import ServiceError

    url = get_current_settings().api.url
    if not url:
        raise ServiceError(
            "no Prefect server is configured",
            expected="PREFECT_API_URL, or a profile of Prefect's that names a server",
            remedy="start one (`embedlib ui`), and export the PREFECT_API_URL that it prints",
        )
    require_server(url)


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

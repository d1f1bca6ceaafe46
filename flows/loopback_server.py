"""The Prefect server as this project starts it: for this machine's own programs and pages only."""

from __future__ import annotations

from embedlib.loopback import LoopbackOnly


def create_app() -> LoopbackOnly:
    """The application, for ``uvicorn --factory``."""
    from prefect.server.api.server import create_app

    return LoopbackOnly(create_app())

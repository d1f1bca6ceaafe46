"""A Prefect server of this process's own, where none is configured.

It is what Prefect starts by itself in that case, and more: it starts before Prefect is imported
here, which takes as long; the processes that a run fans out to use it too; an interrupt from the
terminal does not reach it, so that the run's last state does; and the kernel ends it with this
process, however that dies.

Nothing here imports Prefect before the server is on its way.
"""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import time
from typing import ClassVar

from embedlib.errors import ServiceError
from embedlib.loopback import HOST, server_command
from embedlib.process import child_environment, supervised_command

POLL_S = 0.05
GRACE_S = 5.0

#: How Prefect marks such a server: no UI, and none of the services that act on schedules.
TEMPORARY = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}


class OwnServer:
    """A server that is starting, or has started; it ends with this process."""

    urls: ClassVar[set[str]] = set()

    def __init__(self) -> None:
        port = _free_port()
        self.url = f"http://{HOST}:{port}/api"
        self.process = subprocess.Popen(
            supervised_command(server_command(port, "--log-level", "error")),
            env=child_environment(TEMPORARY),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        atexit.register(self.stop)
        self.urls.add(self.url)

    def answers(self) -> bool:
        """Whether it is up."""
        import httpx

        try:
            return httpx.get(f"{self.url}/health", timeout=10).is_success
        except httpx.HTTPError:
            return False

    def use(self, patience_s: float) -> None:
        """Wait until it answers, and make it the configured server of this process and its children.

        Raises:
            ServiceError: It ended, or did not answer in time.
        """
        from prefect.context import refresh_global_settings_context

        deadline = time.monotonic() + patience_s
        while not self.answers():
            ended = self.process.poll()
            if ended is not None or time.monotonic() > deadline:
                self.stop()
                raise ServiceError(
                    "Prefect's temporary server did not start",
                    where=self.url,
                    found=f"no answer in {patience_s:g} s" if ended is None else f"exit code {ended}",
                    remedy="its own message stands above; PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS "
                    "gives it longer, and `embedlib ui` starts a lasting server",
                )
            time.sleep(POLL_S)
        os.environ |= {"PREFECT_API_URL": self.url, "PREFECT_UI_URL": ""}
        refresh_global_settings_context()

    def stop(self) -> None:
        """End it, politely at first."""
        self.process.terminate()
        try:
            self.process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def ends_with_us(url: str | None) -> bool:
    """Whether the server at this address ends with this process: ours, or (None) Prefect's ephemeral one."""
    return url is None or url in OwnServer.urls


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        return int(taken.getsockname()[1])

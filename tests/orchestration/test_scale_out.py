"""The encode fan-out on every engine gives the vectors of one process; workers may share a workspace."""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
import yaml
from orchestra import PATIENCE, is_alive, wait_for
from published import write_beir

from embedlib.index.catalog import current, releases

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600 * PATIENCE),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

DOCUMENTS, SHARD_SIZE = 90, 20  # five shards
SHARDS = {f"encode shard {n}": "COMPLETED" for n in range(1, 6)}
#: What a worker of each engine is called among the processes.
ENGINES = {"processes": "spawn_main", "dask": "spawn_main", "ray": "ray::encode shard"}


class Refreshed(NamedTuple):
    """What a refresh left: its vectors, its task runs by state, what it logged, and its processes."""

    fingerprint: str
    files: dict[str, bytes]
    tasks: dict[str, str]
    log: str
    seen: Seen


class Seen:
    """What the processes below a run were called, by pid, and where they listened."""

    def __init__(self) -> None:
        self.addresses: set[str] = set()
        self.names: set[tuple[int, str]] = set()
        self.processes: set[psutil.Process] = set()

    def look(self, root: psutil.Process) -> None:
        """Note what runs now; a process may end meanwhile."""
        for process in [root, *root.children(recursive=True)]:
            with suppress(psutil.Error):
                self.names.add((process.pid, " ".join(process.cmdline())))
                self.processes.add(process)
                sockets = process.net_connections("tcp")
                self.addresses |= {s.laddr.ip for s in sockets if s.status == psutil.CONN_LISTEN}

    def called(self, text: str) -> int:
        """How many processes had this in their command line."""
        return len({pid for pid, name in self.names if text in name})

    def left(self) -> list[psutil.Process]:
        """Those that still run."""
        return [p for p in self.processes if p.is_running() and is_alive(p.pid)]


def is_loopback(address: str) -> bool:
    ip = ip_address(address)
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return (mapped or ip).is_loopback


def refresh(folder: Path, material: Path, documents: Path, **run: Any) -> Refreshed:
    """Run ``embedlib refresh`` on documents that are all new to a released workspace."""
    workspace, home = folder / "ws", folder / "home"
    shutil.copytree(material / "workspace", workspace, symlinks=True)
    config = {
        "workspace": str(workspace),
        "ingest": {"source": {"type": "auto", "path": str(documents)}},
        "model": {"name": str(material / "model")},
        "encode": {"precision": "fp32", "shard_size": SHARD_SIZE},
        "publish": {"replace_documents": True},
        "run": {"workers": 2, **run},
    }
    (folder / "embedlib.yaml").write_text(yaml.safe_dump(config))
    env = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"} | {
        "PREFECT_HOME": str(home),
        "RAY_AUTH_TOKEN": secrets.token_hex(),  # else Ray leaves one in the user's home
        "RAY_worker_niceness": "0",
    }
    seen = Seen()
    with (folder / "log").open("w") as log:
        command = [sys.executable, "-m", "embedlib.cli", "refresh", "--config", str(folder / "embedlib.yaml")]
        process = subprocess.Popen(command, env=env, cwd=folder, stdout=log, stderr=log)
        while process.poll() is None:
            with suppress(psutil.NoSuchProcess):
                seen.look(psutil.Process(process.pid))
            time.sleep(0.5)
    said = (folder / "log").read_text()
    assert process.returncode == 0, said
    wait_for(lambda: not seen.left(), 10, "no process left behind")
    (records,) = (workspace / "logs").glob("refresh-*.log")
    release = current(workspace)
    assert release is not None
    vectors = release.ref(workspace, "vectors")
    files = {
        str(p.relative_to(vectors.path)): p.read_bytes()
        for p in vectors.path.rglob("*")
        if p.is_file() and p.name != "artifact.json"
    }
    with sqlite3.connect(home / "prefect.db") as database:
        tasks = dict(database.execute("select name, state_type from task_run"))
    return Refreshed(vectors.fingerprint, files, tasks, records.read_text(), seen)


def assert_same_on_engine(done: Refreshed, threads: Refreshed) -> None:
    """Every shard was a task run; vectors are the baseline's; one server, nothing off loopback."""
    assert {name: state for name, state in done.tasks.items() if name.startswith("encode shard")} == SHARDS
    assert done.fingerprint == threads.fingerprint
    assert done.files == threads.files
    assert done.seen.called("flows.loopback_server") == 1
    assert done.seen.addresses
    assert [a for a in done.seen.addresses if not is_loopback(a)] == []


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents that the release does not have."""
    return write_beir(tmp_path_factory.mktemp("documents"), documents=DOCUMENTS, seed=1)


@pytest.fixture(scope="module")
def threads(tmp_path_factory: pytest.TempPathFactory, material: Path, documents: Path) -> Refreshed:
    """The vectors of one process."""
    return refresh(tmp_path_factory.mktemp("threads"), material, documents, task_runner="threads")


def test_threads_encode_in_the_stage_itself(threads):
    assert threads.tasks["encode"] == "COMPLETED"
    assert not any(name.startswith("encode shard") for name in threads.tasks)
    assert any(name.endswith(".npy") for name in threads.files)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_gives_the_vectors_of_one_process(tmp_path, material, documents, threads, engine):
    if engine != "processes":
        pytest.importorskip(f"prefect_{engine}", reason=f"embedlib[{engine}] is not installed")
    done = refresh(tmp_path, material, documents, task_runner=engine)
    assert done.seen.called(ENGINES[engine]) == 2
    assert (f"prefect.task_runner.{engine}" in done.log) == (engine != "processes")
    assert_same_on_engine(done, threads)


def test_a_running_dask_cluster_is_used_by_its_address(tmp_path, material, documents, threads):
    pytest.importorskip("prefect_dask", reason="embedlib[dask] is not installed")
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        address = cluster.scheduler_address
        done = refresh(tmp_path, material, documents, task_runner="dask", address=address)
        encoded = client.run(eval, "'embedlib.index.encode' in __import__('sys').modules")
    assert f"Connecting to an existing Dask cluster at {address}" in done.log
    assert list(encoded.values()) == [True, True]
    assert_same_on_engine(done, threads)


def test_two_workers_with_homes_of_their_own_share_one_workspace(orchestra, settings, tmp_path):
    """As two machines with the workspace on a shared file system: each takes a run, each stage runs once."""
    orchestra.deploy(settings, lifecycle={"concurrency_limit": None})
    homes = {str(tmp_path / name) for name in ("one", "two")}
    for home in homes:
        orchestra.start_worker(Path(home), limit=1)
    runs = [orchestra.run("lifecycle"), orchestra.run("lifecycle")]
    flows = [wait_for(lambda r=r: orchestra.processes(r), 90, f"a process of run {r}")[0] for r in runs]
    assert {p.environ()["PREFECT_HOME"] for p in flows} == homes
    assert [orchestra.wait(r, timeout_s=500)["type"] for r in runs] == ["COMPLETED", "COMPLETED"]
    both = [orchestra.tasks(r) for r in runs]
    for stage in ("ingest", "split", "pin", "encode base", "synthesize", "mine", "train"):
        assert sorted(t[stage] for t in both) == ["Completed", "Reused"], stage
    made = releases(Path(settings["workspace"]))
    assert len({r.parts["model"].digest for r in made}) == len(made)

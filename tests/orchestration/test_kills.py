"""What dies, and what must be true afterwards: nothing lost, nothing finished done again, all locks free."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from orchestra import PATIENCE, Orchestra, is_alive, wait_for

from embedlib.doctor.leftovers import lock_holders
from embedlib.index.catalog import current, releases

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900 * PATIENCE),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def built(workspace: Path) -> dict[str, float]:
    """When each finished artifact was written, by kind/fingerprint."""
    found = workspace.glob("artifacts/*/[!.]*/artifact.json")
    return {p.parent.relative_to(workspace / "artifacts").as_posix(): p.stat().st_mtime for p in found}


def half_written(workspace: Path) -> list[Path]:
    return [*workspace.glob("artifacts/*/.tmp-*"), *workspace.glob("releases/.tmp-*")]


def flow_process(orchestra: Orchestra, run_id: str) -> psutil.Process:
    return wait_for(lambda: orchestra.processes(run_id), 90, f"a process of run {run_id}")[0]


def training_of(process: psutil.Process) -> list[psutil.Process]:
    """Training processes below a flow's."""
    try:
        children = process.children(recursive=True)
        return [c for c in children if "embedlib.training" in " ".join(c.cmdline())]
    except psutil.Error:
        return []


def describe(pids: list[int]) -> list[str]:
    """Those that still run, and as what."""
    return [f"{p}: {psutil.Process(p).status()} {psutil.Process(p).cmdline()}" for p in pids if is_alive(p)]


def kill_while(process: psutil.Process, pattern: str, workspace: Path, timeout_s: float = 240) -> None:
    """kill -9 a flow process as soon as something in the workspace matches ``pattern``."""
    wait_for(lambda: any(workspace.glob(pattern)), timeout_s, pattern, poll_s=0.002)
    process.kill()


def assert_sound(workspace: Path, before: dict[str, float]) -> None:
    """Finished work is as it was, and within 10 s nobody holds a lock or is left of the training."""
    after = built(workspace)
    assert {name: after.get(name) for name in before} == before
    wait_for(lambda: not list(lock_holders(workspace)), 10, "all locks free")


def assert_each_model_released_once(workspace: Path) -> None:
    """The base is release 1; a promoted model is release 2; nothing was published twice."""
    made = releases(workspace)
    assert len({r.parts["model"].digest for r in made}) == len(made) in (1, 2)
    assert made[-1].ref(workspace, "model").manifest.stage == "pin"


def test_kill_9_of_the_flow_in_every_kind_of_stage(orchestra, settings):
    """One workspace: killed in ingest, in encode, in publish, in mine, in train; then left alone."""
    orchestra.deploy(settings)
    orchestra.start_worker()
    workspace = Path(settings["workspace"])
    stages = ("artifacts/corpus/.tmp-*", "artifacts/vectors/.tmp-*", "releases/.lock")
    for pattern in (*stages, "artifacts/examples/.tmp-*", "scratch/*/training.log"):
        before = built(workspace)
        run_id = orchestra.run("lifecycle")
        kill_while(flow_process(orchestra, run_id), pattern, workspace)
        assert orchestra.wait(run_id, timeout_s=60)["type"] == "CRASHED", pattern
        assert_sound(workspace, before)
        assert len(built(workspace)) >= len(before)
    before = built(workspace)
    last = orchestra.run("lifecycle")
    assert orchestra.wait(last, timeout_s=300)["type"] == "COMPLETED"
    tasks = orchestra.tasks(last)
    for stage in ("ingest", "split", "pin", "encode base", "synthesize", "mine"):
        assert tasks[stage] == "Reused", (stage, tasks)
    assert_sound(workspace, before)
    assert half_written(workspace) == []
    assert_each_model_released_once(workspace)


def test_training_killed_for_memory_is_tried_again_from_its_checkpoint(orchestra, settings):
    orchestra.deploy(settings)
    orchestra.start_worker()
    run_id = orchestra.run("lifecycle")
    process = flow_process(orchestra, run_id)
    victims = wait_for(lambda: training_of(process), 200, "a training process", poll_s=0.02)
    victims[-1].kill()
    assert orchestra.wait(run_id, timeout_s=300)["type"] == "COMPLETED"
    said = "\n".join(orchestra.logs(run_id))
    assert "OutOfMemory" in said
    assert "SIGKILL" in said
    assert orchestra.tasks(run_id)["train"] == "Completed"


def test_a_stage_that_stops_making_progress_is_ended_and_tried_again(orchestra, settings):
    settings["train"]["stall_s"] = 20
    orchestra.deploy(settings)
    orchestra.start_worker()
    run_id = orchestra.run("lifecycle")
    process = flow_process(orchestra, run_id)
    stuck = wait_for(lambda: training_of(process), 200, "a training process", poll_s=0.02)[-1]
    stuck.suspend()
    assert orchestra.wait(run_id, timeout_s=400)["type"] == "COMPLETED"
    assert not is_alive(stuck.pid)
    assert "no sign of life for 20 s" in "\n".join(orchestra.logs(run_id))


def test_cancel_in_mid_training_leaves_no_process_behind_in_15_s(orchestra, settings):
    orchestra.deploy(settings)
    orchestra.start_worker()
    run_id = orchestra.run("lifecycle")
    process = flow_process(orchestra, run_id)
    trainers = wait_for(lambda: training_of(process), 200, "a training process", poll_s=0.05)
    state = {"type": "CANCELLING", "name": "Cancelling"}
    orchestra.call("POST", f"/flow_runs/{run_id}/set_state", state=state)
    pids = [process.pid, *(t.pid for t in trainers)]
    until = time.monotonic() + 15
    while (left := describe(pids)) and time.monotonic() < until:
        time.sleep(0.1)
    assert left == []
    assert orchestra.wait(run_id, timeout_s=60)["type"] == "CANCELLED"
    assert_sound(Path(settings["workspace"]), {})


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["kill-9", "SIGTERM"])
def test_a_worker_that_dies_leaves_work_that_the_next_run_takes_over(orchestra, settings, number):
    orchestra.deploy(settings)
    worker = orchestra.start_worker()
    workspace = Path(settings["workspace"])
    first = orchestra.run("lifecycle")
    process = flow_process(orchestra, first)
    wait_for(lambda: training_of(process), 200, "a training process", poll_s=0.05)
    before = built(workspace)
    orchestra.kill(worker, number)
    wait_for(lambda: not is_alive(process.pid), 240, "the orphaned flow process ended")
    orchestra.start_worker()
    second = orchestra.run("lifecycle")
    # the first run may hold the deployment's slot until its lease ends
    assert orchestra.wait(second, timeout_s=500)["type"] == "COMPLETED"
    tasks = orchestra.tasks(second)
    for stage in ("ingest", "split", "pin", "encode base", "synthesize", "mine"):
        assert tasks[stage] == "Reused", (stage, tasks)
    assert_sound(workspace, before)
    assert current(workspace) is not None


def test_two_lifecycles_at_once_do_each_stage_once(orchestra, settings):
    """Two deployments' worth of runs in one workspace, started in the same second without a limit."""
    orchestra.deploy(settings, lifecycle={"concurrency_limit": None})
    orchestra.start_worker()
    runs = [orchestra.run("lifecycle"), orchestra.run("lifecycle")]
    assert [orchestra.wait(r, timeout_s=500)["type"] for r in runs] == ["COMPLETED", "COMPLETED"]
    both = [orchestra.tasks(r) for r in runs]
    for stage in ("ingest", "split", "pin", "synthesize", "mine", "train"):
        assert sorted(t[stage] for t in both) == ["Completed", "Reused"], stage
    workspace = Path(settings["workspace"])
    assert_each_model_released_once(workspace)
    assert half_written(workspace) == []


def test_two_lifecycles_of_one_deployment_run_one_after_the_other(orchestra, settings):
    orchestra.deploy(settings)
    orchestra.start_worker()
    runs = [orchestra.run("lifecycle"), orchestra.run("lifecycle")]
    overlaps = 0
    deadline = time.monotonic() + 500
    while not all(orchestra.state(r)["type"] == "COMPLETED" for r in runs):
        assert time.monotonic() < deadline, [orchestra.state(r) for r in runs]
        overlaps += all(orchestra.state(r)["type"] == "RUNNING" for r in runs)
        time.sleep(0.5)
    assert overlaps == 0
    assert "Reused" in {*orchestra.tasks(runs[0]).values(), *orchestra.tasks(runs[1]).values()}


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system, as root")
def test_disk_full_is_one_clear_message_and_the_next_run_goes_on(orchestra, settings):
    workspace = Path(settings["workspace"])
    workspace.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(workspace)], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"no mount here: {mounted.stderr.decode()}")
    try:
        settings["tracking"]["uri"] = f"sqlite:///{workspace.parent / 'mlflow.db'}"
        orchestra.deploy(settings)
        orchestra.start_worker()
        first = orchestra.run("lifecycle")
        assert orchestra.wait(first, timeout_s=300)["type"] == "FAILED"
        said = "\n".join(orchestra.logs(first))
        assert "the disk is full" in said
        assert half_written(workspace) == []
        before = built(workspace)
        subprocess.run(["mount", "-o", "remount,size=400m", str(workspace)], check=True)
        second = orchestra.run("lifecycle")
        assert orchestra.wait(second, timeout_s=400)["type"] == "COMPLETED"
        assert_sound(workspace, before)
    finally:
        subprocess.run(["umount", "-l", str(workspace)], check=False)

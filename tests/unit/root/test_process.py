"""A supervised child: its lines come through, and nothing of it is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from embedlib.errors import OutOfMemory, TrainingError
from embedlib.process import run_supervised


def run(code: str, log: Path, *, timeout_s=30.0, stall_s=None, on_line=lambda line: None, env=None) -> None:
    run_supervised(
        [sys.executable, "-u", "-c", code],
        log=log,
        timeout_s=timeout_s,
        stall_s=stall_s,
        on_line=on_line,
        env=env,
    )


def is_alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone_within(pid: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while is_alive(pid) and time.monotonic() < end:
        time.sleep(0.05)
    return not is_alive(pid)


def test_every_line_comes_once_in_order_with_the_given_environment(tmp_path):
    lines: list[str] = []
    code = "import os,sys; print('é', os.environ['GIVEN']); sys.stderr.write('two\\n'); sys.stdout.write('no end')"
    run(code, tmp_path / "log", on_line=lines.append, env={"GIVEN": "x"})
    assert lines == ["é x", "two", "no end"]
    assert (tmp_path / "log").read_text() == "é x\ntwo\nno end"


def test_lines_of_an_earlier_run_in_the_same_log_do_not_come_again(tmp_path):
    (tmp_path / "log").write_text("old\n")
    lines: list[str] = []
    run("print('new')", tmp_path / "log", on_line=lines.append)
    assert lines == ["new"]


def test_a_failing_child_is_a_typed_error_with_the_end_of_its_log(tmp_path):
    with pytest.raises(TrainingError, match="exit code 3") as caught:
        run("import sys; print('the reason'); sys.exit(3)", tmp_path / "log")
    assert "the reason" in caught.value.found
    assert not isinstance(caught.value, OutOfMemory)


def test_a_command_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(TrainingError) as caught:
        run_supervised(
            ["/no/such/program"], log=tmp_path / "log", timeout_s=10, stall_s=None, on_line=lambda line: None
        )
    assert "/no/such/program" in caught.value.found


@pytest.mark.parametrize("how", ["os.kill(os.getpid(), signal.SIGKILL)", "os._exit(137)"])
def test_a_kill_from_outside_is_reported_as_out_of_memory(tmp_path, how):
    with pytest.raises(OutOfMemory, match="memory"):
        run(f"import os, signal; {how}", tmp_path / "log")


def test_another_signal_is_not(tmp_path):
    with pytest.raises(TrainingError, match="SIGSEGV") as caught:
        run("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", tmp_path / "log")
    assert not isinstance(caught.value, OutOfMemory)


GRANDCHILD = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])
print(child.pid)
time.sleep(60)
"""


@pytest.mark.parametrize("limits", [{"timeout_s": 1.0}, {"stall_s": 1.0}])
def test_time_out_and_silence_end_the_whole_group(tmp_path, limits):
    lines: list[str] = []
    with pytest.raises(TrainingError, match="1 s"):
        run(GRANDCHILD, tmp_path / "log", on_line=lines.append, **limits)
    assert gone_within(int(lines[0]), 5)


def test_a_child_that_talks_is_not_stalled(tmp_path):
    lines: list[str] = []
    code = "import time\nfor i in range(6):\n    print(i); time.sleep(0.3)"
    run(code, tmp_path / "log", stall_s=1.0, on_line=lines.append)
    assert lines == list("012345")


def test_an_exception_of_the_listener_ends_the_child(tmp_path):
    seen: list[int] = []

    def stop(line: str) -> None:
        seen.append(int(line))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run("import os, time; print(os.getpid()); time.sleep(60)", tmp_path / "log", on_line=stop)
    assert gone_within(seen[0], 5)


def test_the_child_dies_with_its_parent_even_by_kill_9(tmp_path):
    code = (
        "import sys; from pathlib import Path; from embedlib.process import run_supervised\n"
        "run_supervised([sys.executable, '-u', '-c', 'import os, time; print(os.getpid()); time.sleep(60)'],\n"
        f"    log=Path({str(tmp_path / 'log')!r}), timeout_s=60, stall_s=None, on_line=print)"
    )
    with subprocess.Popen([sys.executable, "-u", "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        assert is_alive(child)
        os.kill(parent.pid, signal.SIGKILL)
    assert gone_within(child, 5)

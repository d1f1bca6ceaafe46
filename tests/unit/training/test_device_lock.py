"""One training at a time on a machine's GPU, whatever the workspace; a dead holder frees it."""

from __future__ import annotations

import subprocess
import sys
import time

import torch

from embedlib.disk import file_lock
from embedlib.training.child import device_file, device_lock

HOLDER = """
import sys, time, torch
torch.cuda.is_available = lambda: True  # the lock is what is tested, not the device
from embedlib.training.child import device_lock
with device_lock():
    print("held", flush=True)
    time.sleep(600)
"""


def test_held_by_one_process_and_free_when_it_is_killed(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with file_lock(device_file(), wait=False) as held:
            assert not held
        holder.kill()
    started = time.monotonic()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with device_lock(), file_lock(device_file(), wait=False) as second:
        assert not second
    assert time.monotonic() - started < 1


def test_one_lock_a_set_of_gpus_and_none_without(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    one = device_file()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert device_file() != one
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with device_lock():
        assert not device_file().exists()

"""Training in processes of its own: killed and resumed, in two processes as in one."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
import torch

from embedlib.config.training import Train
from embedlib.errors import DataError, OutOfMemory
from embedlib.models.local import load_encoder
from embedlib.stages.base import run_stage
from embedlib.stages.train import STAGE
from embedlib.training.child import launch
from embedlib.training.options import TrainingJob

OPTIONS = {"batch_size": 16, "learning_rate": 1e-3, "max_steps": 8, "precision": "fp32", "dev_documents": 60}
ENV = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


@pytest.fixture
def job(tmp_path, collection, tiny_model):
    """``job(name, **options)``."""

    def make(name: str, **options) -> TrainingJob:
        scratch = tmp_path / name / "scratch"
        scratch.mkdir(parents=True, exist_ok=True)
        inputs = {k: str(v) for k, v in collection.items()}
        out = str(tmp_path / name / "out")
        given = {**OPTIONS, **options}
        return TrainingJob(
            "fine-tune", str(tiny_model), out, str(scratch), 3, inputs, given, checkpoint_s=0.0
        )

    return make


def weights(folder: str) -> dict[str, torch.Tensor]:
    return load_encoder(folder, device="cpu").module.state_dict()


def test_an_error_of_the_child_is_the_same_error_here(job):
    with pytest.raises(DataError, match="kl") as caught:
        launch(job("a", loss="kl"), timeout_s=100, env=ENV)
    assert "teacher" in caught.value.expected


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kill_9_in_mid_training_then_the_same_again_gives_the_same_weights(job):
    whole, broken = job("whole"), job("broken")
    curves: tuple[list[tuple[str, int, float]], ...] = ([], [])
    launch(whole, timeout_s=280, env=ENV, curve=lambda *point: curves[0].append(point))

    def kill(done: int, total: int | None, what: str) -> None:
        if what == "training steps" and done >= 3:
            log = (Path(broken.scratch) / "training.log").read_text()
            assert "plan" in log
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    command = path.read_bytes()
                except OSError:
                    continue
                if b"embedlib.training\0" in command and str(broken.scratch).encode() in command:
                    os.kill(int(path.parent.name), signal.SIGKILL)
                    time.sleep(0.2)

    with pytest.raises(OutOfMemory, match="memory"):
        launch(broken, timeout_s=280, env=ENV, progress=kill)
    assert list(Path(broken.scratch).glob("checkpoint-*"))
    launch(broken, timeout_s=280, env=ENV, curve=lambda *point: curves[1].append(point))
    assert sorted(curves[0]) == sorted(curves[1]), "what was before the kill is told again"
    assert {name for name, _, _ in curves[0]} == {"loss", "dev.nDCG@10"}
    left, right = weights(whole.out), weights(broken.out)
    assert all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_processes_give_the_result_of_one(job):
    one, two = job("one", max_steps=4, loss="cached-mnrl"), job("two", max_steps=4, loss="cached-mnrl")
    launch(one, timeout_s=280, env=ENV)
    launch(two, processes=2, timeout_s=280, env=ENV)
    start, left, right = weights(one.model), weights(one.out), weights(two.out)
    moved = max(float((left[n] - start[n]).abs().max()) for n in left if left[n].is_floating_point())
    apart = max(float((left[n] - right[n]).abs().max()) for n in left if left[n].is_floating_point())
    assert moved > 1e-3
    assert apart < 0.02 * moved


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_stage_reuses_its_result(store, refs):
    config = Train(max_steps=2, batch_size=16, evaluations=1, dev_documents=60)
    first = run_stage(store, STAGE, config, **refs)
    assert not first.reused
    assert run_stage(store, STAGE, config, **refs).reused
    assert run_stage(store, STAGE, config.model_copy(update={"timeout_s": 50.0}), **refs).reused

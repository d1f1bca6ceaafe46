"""Sizing, plan, checkpoints, events, damage and heads."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

from embedlib import errors
from embedlib.contracts import EXAMPLES, write_table
from embedlib.errors import ConfigError, DiskFull, OutOfMemory, TrainingError
from embedlib.training import options, sizing
from embedlib.training.child import _Listener, typed
from embedlib.training.damage import UNCOUNTED, delete_words, mask_tokens
from embedlib.training.data import labelled_share
from embedlib.training.dev import evaluation_steps
from embedlib.training.options import TrainingJob
from embedlib.training.plan import count_steps, default_negatives, estimated_seconds
from embedlib.training.trainer import is_sound, latest_sound, seal


@pytest.mark.parametrize("harm", ["flip", "cut", "remove", "unsealed"])
def test_a_checkpoint_is_sound_only_as_it_was_sealed(tmp_path, harm):
    for step in (5, 10):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "weights").write_bytes(b"abc")
        seal(folder)
    assert latest_sound(tmp_path).name == "checkpoint-10"
    last = tmp_path / "checkpoint-10"
    match harm:
        case "flip":
            (last / "weights").write_bytes(b"abd")
        case "cut":
            (last / "weights").write_bytes(b"ab")
        case "remove":
            (last / "weights").unlink()
        case _:
            (last / "sealed.json").unlink()
    assert not is_sound(last)
    assert latest_sound(tmp_path).name == "checkpoint-5"
    shutil.rmtree(tmp_path / "checkpoint-5")
    assert latest_sound(tmp_path) is None


@pytest.mark.parametrize(
    "error",
    [
        errors.NonFiniteLoss("nan", where="step 3", remedy="lower it"),
        errors.DataError("few", expected="2", found="1"),
        ConfigError(["a: b"], where="x"),
    ],
)
def test_typed_errors_cross_the_process_border_whole(error, capsys):
    options.emit_error(error)
    event = options.parse_event(capsys.readouterr().out.strip())
    again = options.error_of(event)
    assert type(again) is type(error)
    assert str(again) == str(error)


def test_lines_that_are_no_event_are_no_event():
    assert options.parse_event("INFO training") is None
    assert options.parse_event('{"event": broken') is None


def test_the_listener_hands_on_progress_summary_and_error(capsys):
    told, points = [], []
    listener = _Listener(lambda *progress: told.append(progress), lambda *point: points.append(point))
    for line in (
        '{"event": "progress", "done": 1, "total": 2, "what": "steps"}',
        '{"event": "loss", "step": 5, "value": 0.25}',
        '{"event": "dev", "step": 10, "value": 0.5}',
        "WARNING something",
        '{"event": "error", "type": "DiskFull", "what": "the disk is full"}',
        '{"event": "done", "loss": 1.5}',
    ):
        listener(line)
    assert told == [(1, 2, "steps")]
    assert points == [("loss", 5, 0.25), ("dev.nDCG@10", 10, 0.5)]
    assert isinstance(listener.error, DiskFull)
    assert listener.summary == {"loss": 1.5}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(28, "No space left on device"), DiskFull),
        (RuntimeError("I/O error: No space left on device (os error 28)"), DiskFull),
        (MemoryError(), OutOfMemory),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), OutOfMemory),
        (torch.OutOfMemoryError("CUDA out of memory"), OutOfMemory),
        (ValueError("odd"), TrainingError),
        (errors.ModelError("kept"), errors.ModelError),
    ],
)
def test_any_exception_becomes_one_typed_error(tmp_path, error, kind):
    assert type(typed(error, tmp_path / "job.json")) is kind


def test_a_job_survives_its_file_and_a_broken_file_is_named(tmp_path):
    job = TrainingJob("probe", "m", "o", "s", 1, {"corpus": "c"}, {"a": [1]}, {"d": "e"})
    job.write(tmp_path / "job.json")
    assert TrainingJob.read(tmp_path / "job.json") == job
    (tmp_path / "job.json").write_text(json.dumps({"kind": "probe"}))
    with pytest.raises(TrainingError, match=r"job"):
        TrainingJob.read(tmp_path / "job.json")


def test_a_step_is_cached_when_its_activations_do_not_fit():
    assert not sizing.size_step(100, 1000, 10**6).cached
    tight = sizing.size_step(100, 10_000, 10**6)
    assert tight.cached
    assert tight.tokens * 100 <= sizing.SHARE * 10**6
    assert sizing.size_step(100, 10_000, 10**6, wanted=777).tokens == 777
    assert sizing.size_step(100, 10, 10**9, always_cached=True).cached


def test_the_dry_run_halves_until_it_fits(monkeypatch):
    tried = []

    def attempt(tokens: int) -> None:
        tried.append(tokens)
        if tokens > 1500:
            raise torch.OutOfMemoryError("no")

    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    assert sizing.largest_fitting(4096, attempt) == 1024
    assert tried == [4096, 2048, 1024]

    estimate = sizing.Sizing(2048, False, 0)
    assert sizing.dry_run(estimate, 1000, attempt) == estimate
    assert sizing.dry_run(estimate, 4000, attempt) == (1024, True, 0)

    def never(tokens: int) -> None:
        raise torch.OutOfMemoryError("no")

    with pytest.raises(torch.OutOfMemoryError):
        sizing.largest_fitting(4096, never)


def test_plan_arithmetic():
    assert count_steps(10, 1.5, None) == 15
    assert count_steps(10, 1.5, 4) == 4
    assert count_steps(3, 0.01, None) == 1
    assert estimated_seconds(1000, 10, 6e3, cached=False) == 10.0
    assert estimated_seconds(1000, 10, 8e3, cached=True) == 10.0
    assert evaluation_steps(3, 5) == [1, 2, 3]


def test_masks_fall_on_allowed_tokens_in_the_papers_proportions():
    ids = torch.arange(40_000).reshape(100, 400) % 997 + 5
    special = torch.zeros_like(ids, dtype=torch.bool)
    special[:, 0] = True
    rng = np.random.default_rng(0)
    masked, labels = mask_tokens(ids, special, mask_id=3, vocabulary=1000, share=0.15, rng=rng)
    chosen = labels != UNCOUNTED
    assert not chosen[:, 0].any()
    assert chosen[:, 1:].float().mean() == pytest.approx(0.15, abs=0.01)
    assert (labels[chosen] == ids[chosen]).all()
    assert (masked[~chosen] == ids[~chosen]).all()
    assert (masked[chosen] == 3).float().mean() == pytest.approx(0.8, abs=0.02)
    assert (masked[chosen] == ids[chosen]).float().mean() == pytest.approx(0.1, abs=0.02)


def test_a_short_text_still_has_something_to_guess():
    ids = torch.tensor([[1, 7, 2]])
    _, labels = mask_tokens(
        ids,
        torch.tensor([[True, False, True]]),
        mask_id=3,
        vocabulary=10,
        share=0.01,
        rng=np.random.default_rng(0),
    )
    assert labels.tolist() == [[UNCOUNTED, 7, UNCOUNTED]]


def test_deletion_keeps_order_and_never_all_or_nothing_of_a_text():
    rng = np.random.default_rng(0)
    words = [str(i) for i in range(2000)]
    left = delete_words(" ".join(words), 0.6, rng).split()
    assert left == sorted(left, key=int)
    assert len(left) == pytest.approx(800, abs=80)
    assert delete_words("alone", 0.9, rng) == "alone"
    assert all(delete_words("a b", 0.999, rng) for _ in range(20))


def test_the_trial_pass_leaves_no_gradient(tiny_model):
    from embedlib.models.local import load_encoder

    module = load_encoder(tiny_model, device="cpu").module
    sizing.forward_backward(module, 128, bf16=False)
    assert all(p.grad is None for p in module.parameters())


def test_hard_negatives_only_where_somebody_judged_them():
    assert default_negatives("kl", labelled=False) == 3
    assert default_negatives("mnrl", labelled=True) == 1
    assert default_negatives("mnrl", labelled=False) == 0
    assert default_negatives("triplet", labelled=False) == 1  # it cannot do without


def test_the_labelled_share_counts_judged_pairs_alone(tmp_path):
    rows = [
        dict.fromkeys(EXAMPLES.names) | {"origin": origin} for origin in ("label", "crop", "title", "label")
    ]
    write_table(tmp_path / "examples.parquet", rows, EXAMPLES)
    assert labelled_share(tmp_path) == 0.5

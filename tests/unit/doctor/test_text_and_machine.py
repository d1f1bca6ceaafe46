"""Vocabulary gap, truncation, padding; accelerator and memory."""

from __future__ import annotations

import json

import numpy as np
import pytest

from embedlib.doctor.findings import Severity
from embedlib.doctor.machine import (
    BYTES_A_PARAMETER,
    Step,
    check_accelerator,
    check_memory,
    check_training_log,
    fitting_tokens,
)
from embedlib.doctor.text import check_padding, check_truncation, check_vocabulary, padding_waste

RNG = np.random.default_rng


def pieces(word: str) -> list[str]:
    """Known words are whole, those with a digit unknown, all others broken into letters."""
    if word in {"copy", "the", "file"}:
        return [word]
    return ["[UNK]"] if any(c.isdigit() for c in word) else list(word)


@pytest.mark.parametrize(
    ("text", "severity", "words"),
    [
        ("copy the file", Severity.OK, "fits"),
        ("copy the file " * 20 + "copy 4", Severity.WARNING, "cannot see"),
        ("copy phospholipase", Severity.WARNING, "shattered"),
        ("", Severity.OK, "no words"),
    ],
)
def test_vocabulary(text, severity, words):
    found = check_vocabulary([text], pieces, "[UNK]")
    assert (found.severity, words in found.title) == (severity, True)


def test_fertility_counts_occurrences_not_types():
    found = check_vocabulary(["copy copy copy file", "abc"], pieces, None)
    assert found.evidence["word pieces a word"] == pytest.approx((4 + 3) / 5)


def test_truncation():
    lengths = np.array([10] * 85 + [300] * 15)
    assert check_truncation(lengths, 256).severity == Severity.WARNING
    assert check_truncation(lengths, 256).evidence["share of documents cut"] == pytest.approx(0.15)
    assert check_truncation(lengths, 300).severity == Severity.OK
    assert check_truncation(lengths, None).severity == Severity.OK


def test_padding_by_hand():
    assert padding_waste(np.array([4, 4, 4, 4]), 2, RNG(0)) == 0
    assert padding_waste(np.array([1, 9]), 2, RNG(0)) == pytest.approx(1 - 10 / 18)


def test_a_few_long_texts_waste_every_batch():
    lengths = np.array([20] * 950 + [256] * 50)
    found = check_padding(lengths, 64, RNG(1))
    assert found.severity == Severity.WARNING
    assert "model.max_length=" in found.command
    assert check_padding(np.full(1000, 100), 64, RNG(1)).severity == Severity.OK
    many = np.array([20] * 900 + [256] * 100)
    assert check_padding(many, 64, RNG(1)).severity == Severity.OK, "no length would be shorter and fit"


@pytest.mark.parametrize(
    ("device", "flags", "precision", "severity"),
    [
        ("cpu", set(), "auto", Severity.WARNING),
        ("cpu", {"avx2"}, "auto", Severity.WARNING),
        ("cpu", {"amx_bf16"}, "auto", Severity.OK),
        ("cpu", {"amx_bf16"}, "fp32", Severity.WARNING),
        ("cuda", set(), "auto", Severity.OK),
        ("cuda", set(), "fp32", Severity.WARNING),
    ],
)
def test_why_tuning_is_slow(device, flags, precision, severity):
    assert check_accelerator(device, flags, precision, 2).severity == severity


MILLION = 2**20
#: 16 MiB of weights, gradients and moments; 100 MiB of activations for 1,000 tokens.
STEP = Step(parameters=MILLION, tokens=1000, peak_mb=BYTES_A_PARAMETER + 100)


def test_tokens_that_fit_solve_the_memory_equation():
    # 0.8 * available - 16 = tokens * 0.1
    assert fitting_tokens(STEP, 200) == pytest.approx((0.8 * 200 - 16) / 0.1, abs=1)
    assert fitting_tokens(STEP, 10) == 0


def test_memory_that_suffices_that_is_scarce_and_that_is_hopeless():
    assert check_memory(STEP, 1000).severity == Severity.OK
    scarce = check_memory(STEP, 130)
    assert scarce.severity == Severity.ERROR
    assert "mini_batch_tokens=880" in scarce.command
    hopeless = check_memory(STEP, 60)
    assert "lora" in hopeless.command


def test_after_a_kill_at_most_half_is_suggested():
    found = check_memory(Step(MILLION, 4000, 116), 1000, killed=True)
    assert found.severity == Severity.ERROR
    assert "mini_batch_tokens=2000" in found.command


def write_log(folder, *events):
    (folder / "job.json").write_text(json.dumps({"model": str(folder)}))
    (folder / "model.safetensors").write_bytes(bytes(4 * 1000))
    log = folder / "training.log"
    log.write_text("some library chatter\n" + "".join(json.dumps(e) + "\n" for e in events))
    return log


PLAN = {"event": "plan", "text": "t", "mini_batch_tokens": 4000, "memory_mb": 300.0}


def test_a_training_that_ran_out_of_memory_gets_a_size_that_fits(tmp_path):
    log = write_log(tmp_path, PLAN, {"event": "error", "type": "OutOfMemory", "what": "out of memory"})
    found = check_training_log(log, 2000)
    assert (found.subject, found.severity) == ("memory", Severity.ERROR)
    assert "mini_batch_tokens=2000" in found.command
    assert found.evidence["parameters"] == 1000


def test_a_training_that_failed_otherwise_is_told_with_its_error(tmp_path):
    log = write_log(tmp_path, PLAN, {"event": "error", "type": "TrainingError", "what": "loss is NaN"})
    found = check_training_log(log, 2000)
    assert (found.severity, found.evidence["error"]) == (Severity.WARNING, "loss is NaN")


def test_a_training_killed_without_a_word(tmp_path):
    assert check_training_log(write_log(tmp_path, PLAN), 2000).severity == Severity.WARNING
    assert check_training_log(write_log(tmp_path, PLAN), 200).subject == "memory"
    assert check_training_log(write_log(tmp_path), 2000).severity == Severity.OK

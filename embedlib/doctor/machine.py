"""Checks of the machine against the training: accelerator, precision, memory."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from embedlib.doctor.findings import Finding, failure, fine, warning
from embedlib.training.options import parse_event

#: Bytes a parameter in fp32 training with AdamW: weight, gradient and two moments.
BYTES_A_PARAMETER = 16
HEADROOM = 0.8
#: Tokens below which a step is not worth its overhead.
LEAST_TOKENS = 512
BF16_FLAGS = {"amx_bf16", "avx512_bf16"}


def check_accelerator(device: str, flags: Collection[str], precision: str, cores: int) -> Finding:
    """Why is tuning slow: no GPU, no fast bf16, or bf16 not used?"""
    fast = sorted(BF16_FLAGS.intersection(flags))
    evidence = {"device": device, "bf16 of the CPU": fast, "cores": cores, "precision": precision}
    if device == "cpu" and not fast:
        return warning(
            "speed",
            "no GPU and no fast bf16 on this CPU: tuning will be slow",
            "embedlib run --set train.lora.rank=16 --set train.max_steps=500, or a machine with a GPU",
            **evidence,
        )
    if precision == "fp32" and (fast or device == "cuda"):
        return warning(
            "speed",
            "training is set to fp32 where bf16 is several times faster",
            "embedlib run --set train.precision=auto",
            **evidence,
        )
    return fine("speed", "training uses the fastest arithmetic there is", **evidence)


class Step(NamedTuple):
    """A training step, measured or planned: parameters of the model, tokens at once, highest memory."""

    parameters: int
    tokens: int
    peak_mb: float


def fitting_tokens(step: Step, available_mb: float) -> int:
    """Most tokens at once that fit, from one measured step: memory = fixed + tokens * c.

    ``fixed`` is 16 bytes a parameter (fp32 AdamW), c is what the measured step leaves for
    activations; a fifth of the memory stays free. 0 when the fixed part alone does not fit.
    """
    fixed = step.parameters * BYTES_A_PARAMETER / 2**20
    activations = max(step.peak_mb - fixed, 1.0) / step.tokens
    return max(0, int((HEADROOM * available_mb - fixed) / activations))


def check_memory(step: Step, available_mb: float, killed: bool = False) -> Finding:
    """Does a training step fit the memory, and if not, what would?"""
    fits = fitting_tokens(step, available_mb)
    evidence = {**step._asdict(), "available_mb": round(available_mb), "tokens that fit": fits}
    if fits < LEAST_TOKENS:
        return failure(
            "memory",
            "weights, gradients and optimiser leave no memory for a training step",
            "embedlib run --set train.lora.rank=16, or a smaller base model (embedlib recommend)",
            **evidence,
        )
    if killed or fits < step.tokens:
        tokens = max(LEAST_TOKENS, min(fits, step.tokens // 2 if killed else fits))
        return failure(
            "memory",
            "training ran out of memory" if killed else "a training step needs more memory than there is",
            f"embedlib run --set train.mini_batch_tokens={tokens} --set train.loss=cached-mnrl; then halve "
            "model.max_length, or --set train.precision=bf16",
            **evidence,
        )
    return fine("memory", "a training step fits the memory", **evidence)


def check_training_log(log: Path, available: float) -> Finding:
    """What an unfinished training left in its log: did it end for want of memory?"""
    events = [
        e for e in map(parse_event, log.read_text(encoding="utf-8", errors="replace").splitlines()) if e
    ]
    plan = next((e for e in reversed(events) if e["event"] == "plan"), None)
    error = next((e for e in reversed(events) if e["event"] == "error"), None)
    if plan is None:
        return fine("training", "a training was interrupted before it began", log=str(log))
    step = Step(
        parameters_of(log.parent / "job.json"), int(plan["mini_batch_tokens"]), float(plan["memory_mb"])
    )
    if error is not None and error.get("type") == "OutOfMemory":
        return check_memory(step, available, killed=True)
    if error is not None:
        return warning(
            "training",
            "a training failed and was not finished since",
            "mend the cause and give the same command again: it resumes from its last checkpoint",
            error=str(error.get("what", "")),
            found=str(error.get("found", ""))[:200],
            log=str(log),
        )
    found = check_memory(step, available)
    if found.severity != "ok":
        return found
    return warning(
        "training",
        "a training was killed and was not finished since",
        "give the same command again: it resumes from its last checkpoint",
        log=str(log),
        **step._asdict(),
    )


def parameters_of(job: Path) -> int:
    """Parameters of the model that a training job starts from, by the size of its fp32 weights; 0 if gone."""
    if not job.is_file():
        return 0
    folder = Path(str(json.loads(job.read_text(encoding="utf-8")).get("model", "")))
    return sum(p.stat().st_size for p in folder.glob("*.safetensors")) // 4


def available_mb(device: str) -> float:
    """Free memory of the device that trains, in MiB."""
    import torch

    from embedlib.training.sizing import free_bytes

    return free_bytes(torch.device(device)) / 2**20

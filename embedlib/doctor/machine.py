"""Checks of the machine against the training: accelerator, precision, memory."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from embedlib.doctor.findings import Finding, failure, fine, warning

#: Bytes a parameter in fp32 training with AdamW: weight, gradient and two moments.
BYTES_A_PARAMETER = 16
HEADROOM = 0.8
BF16_FLAGS = {"amx_bf16", "avx512_bf16"}


def check_accelerator(device: str, flags: Collection[str], precision: str, cores: int) -> Finding:
    """Why is tuning slow: no GPU, no fast bf16, or bf16 not used?

    Args:
        device: ``cuda``, ``mps`` or ``cpu``.
        flags: Features of the CPU.
        precision: The configured ``train.precision``.
        cores: CPU cores usable here.
    """
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
    """A training step as it was measured.

    Args:
        parameters: Of the model.
        batch: Texts embedded at once.
        length: Word pieces a text.
        peak_mb: Highest memory of the training process.
    """

    parameters: int
    batch: int
    length: int
    peak_mb: float


def fitting_batch(step: Step, available_mb: float) -> int:
    """Largest batch that fits, from one measured step: memory = fixed + batch * length * c.

    ``fixed`` is 16 bytes a parameter (fp32 AdamW), c is what the measured step leaves for
    activations; a fifth of the memory stays free. 0 when the fixed part alone does not fit.
    """
    fixed = step.parameters * BYTES_A_PARAMETER / 2**20
    activations = max(step.peak_mb - fixed, 1.0) / (step.batch * step.length)
    room = HEADROOM * available_mb - fixed
    return max(0, int(room / (activations * step.length)))


def check_memory(step: Step, available_mb: float, killed: bool = False) -> Finding:
    """Does a training step fit the memory, and if not, what would?

    Args:
        step: A measured step.
        available_mb: Memory to be had now.
        killed: Whether a training was ended for want of memory.
    """
    fits = fitting_batch(step, available_mb)
    evidence = {**step._asdict(), "available_mb": available_mb, "batch that fits": fits}
    if fits == 0:
        return failure(
            "memory",
            "weights, gradients and optimiser alone do not fit the memory",
            "embedlib run --set train.lora.rank=16, or a smaller base model (embedlib recommend)",
            **evidence,
        )
    if killed or fits < step.batch:
        tokens = max(64, min(fits, step.batch // 2 if killed else fits) * step.length)
        return failure(
            "memory",
            "training ran out of memory" if killed else "a training step needs more memory than there is",
            f"embedlib run --set train.mini_batch_tokens={tokens} --set train.precision=auto; halve "
            "model.max_length if that is not enough",
            **evidence,
        )
    return fine("memory", "a training step fits the memory", **evidence)

"""What a run is going to do, said before it does it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from embedlib.training.losses import LOSSES

#: Floating-point operations a parameter and token: 2 forward, 4 backward (arXiv 2001.08361).
FLOPS_FORWARD, FLOPS_STEP = 2, 6


#: Weights of a model that counts as small.
SMALL = 50_000_000

#: Tokens that a CPU trains on, at most: two cores without AMX take 1,000 to 1,300 a second.
CPU_TOKENS = 3_000_000


@dataclass(frozen=True)
class TrainingPlan:
    """A run before it starts.

    Args:
        loss: Loss name.
        examples: Examples trained on.
        steps: Optimiser steps.
        epochs: Passes over the examples.
        batch_size: Examples per step, over all processes.
        tokens: Tokens of all steps, queries and documents.
        mini_batch_tokens: Tokens embedded at once.
        cached: Gradient caching.
        precision: "fp32" or "bf16".
        device: "cpu", "cuda" …
        processes: Number of processes.
        seconds: Estimated time of the steps.
        memory_mb: Estimated memory of weights, optimiser and activations.
    """

    loss: str
    examples: int
    steps: int
    epochs: float
    batch_size: int
    tokens: int
    mini_batch_tokens: int
    cached: bool
    precision: str
    device: str
    processes: int
    seconds: float
    memory_mb: float

    def __str__(self) -> str:
        caching = ", gradient caching" if self.cached else ""
        work = f"{self.examples} examples, {self.steps} steps of {self.batch_size} ({self.epochs:g} epochs)"
        size = f"{self.tokens / 1e6:.2f}M tokens, {self.mini_batch_tokens} at once{caching}"
        where = f"{self.precision} on {self.device} x {self.processes}"
        cost = f"about {self.seconds / 60:.1f} min and {self.memory_mb / 1024:.1f} GiB"
        return f"{self.loss}: {work}, {size}, {where}; {cost}"


def default_epochs(examples: int) -> float:
    """Passes over the examples: 3 under 1,000, 2 under 10,000, else 1.

    >>> [default_epochs(n) for n in (500, 5000, 50000)]
    [3.0, 2.0, 1.0]
    """
    return 3.0 if examples < 1000 else 2.0 if examples < 10_000 else 1.0


def default_learning_rate(loss: str, parameters: int, *, lora: bool) -> float:
    """Peak rate: small models bear more; distillation to a teacher less than labels (measured).

    >>> [default_learning_rate("mnrl", n, lora=False) for n in (22_700_000, 109_000_000)]
    [5e-05, 2e-05]
    """
    if lora:
        return 2e-4
    return 5e-5 if parameters < SMALL and loss != "kl" else 2e-5


def default_negatives(loss: str, *, labelled: bool) -> int:
    """Hard negatives per example: three with a teacher's scores, else one; none for pairs that nobody judged.

    What ranks high for a derived query is often as good an answer as the passage it was derived from.
    """
    if loss in ("kl", "margin-mse"):
        return 3
    return 1 if labelled or LOSSES[loss].needs_negatives else 0


def default_tokens(loss: str, device: str) -> int | None:
    """Tokens of a run, at most: the loss's bound, else three quarters of an hour on two cores.

    >>> default_tokens("mnrl", "cpu"), default_tokens("mnrl", "cuda")
    (3000000, None)
    """
    return LOSSES[loss].max_tokens or (CPU_TOKENS if device == "cpu" else None)


def count_steps(batches: int, epochs: float, most: int | None = None) -> int:
    """Optimiser steps of a run: at least one, at most ``most``."""
    steps = max(1, math.ceil(batches * epochs))
    return steps if most is None else min(steps, max(1, most))


def estimated_seconds(tokens: int, parameters: int, flops_per_s: float, *, cached: bool) -> float:
    """Time of the steps: 6 operations a parameter and token, 2 more with gradient caching.

    Args:
        tokens: Tokens of all steps.
        parameters: Parameters outside the embedding tables.
        flops_per_s: What the device reached on a trial product of the same precision.
        cached: Gradient caching.
    """
    return tokens * parameters * (FLOPS_STEP + (FLOPS_FORWARD if cached else 0)) / flops_per_s


def training_bytes(parameters: int, activations: int) -> int:
    """Weights, gradients and AdamW's two moments in fp32, and activations."""
    return 16 * parameters + activations

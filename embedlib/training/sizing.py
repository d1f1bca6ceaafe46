"""How much of a batch fits the memory at once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil
import torch

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)

#: Share of the free memory that activations may take, and the most they may take on a CPU, whose
#: memory is everybody's.
SHARE, MOST_CPU_BYTES = 0.4, 6 << 30
#: The least tokens of a mini-batch; and as many as make a CPU, and a GPU, as fast as it gets.
LEAST_TOKENS, CPU_TOKENS, GPU_TOKENS = 512, 8192, 65_536


class Sizing(NamedTuple):
    """Tokens embedded at once, and whether a step needs gradient caching to stay within memory."""

    tokens: int
    cached: bool
    step_bytes: int


def activation_bytes(config: Any, length: int, *, bf16: bool) -> int:
    """Bytes of activations a token, kept for the backward pass.

    (34·h + 5·a·s) bytes a layer in 16 bits with attention scores kept, which dropout forces where
    there is no fused kernel for it (arXiv 2205.05198, eq. 2); twice that in fp32, and a little more
    under autocast, which keeps copies in both precisions (measured: 280 KB a token on a CPU).

    Args:
        config: The transformer's configuration (hidden_size, num_hidden_layers, num_attention_heads).
        length: Tokens of a long text, s.
        bf16: Whether autocast is on.
    """
    hidden = int(getattr(config, "hidden_size", 768))
    layers = int(getattr(config, "num_hidden_layers", 12))
    heads = int(getattr(config, "num_attention_heads", 12))
    return int((34 * hidden + 5 * heads * length) * layers * (2.2 if bf16 else 2.0))


def free_bytes(device: torch.device) -> int:
    """Free memory of a GPU, or of this machine within its control group's limit and our own."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return min(int(psutil.virtual_memory().available), _group_free(), int(MOST_CPU_BYTES / SHARE))


def _group_free() -> int:
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="utf-8").strip()
        used = Path("/sys/fs/cgroup/memory.current").read_text(encoding="utf-8").strip()
    except OSError:
        return 1 << 62
    return int(limit) - int(used) if limit.isdigit() else 1 << 62


def size_step(
    token_bytes: int,
    step_tokens: int,
    free: int,
    *,
    enough: int = CPU_TOKENS,
    wanted: int | None = None,
    always_cached: bool = False,
) -> Sizing:
    """Choose the mini-batch and whether activations of the whole step are kept.

    Args:
        token_bytes: See ``activation_bytes``.
        step_tokens: Tokens of a large step.
        free: Bytes that are free.
        enough: Tokens beyond which a larger mini-batch is no faster.
        wanted: Tokens a mini-batch asked for; None chooses.
        always_cached: The loss asks for gradient caching whatever fits.

    >>> size_step(1000, 5000, 100_000_000).cached
    False
    >>> size_step(1000, 500_000, 100_000_000)
    Sizing(tokens=8192, cached=True, step_bytes=8192000)
    """
    budget = SHARE * free
    cached = always_cached or token_bytes * step_tokens > budget
    tokens = wanted or max(LEAST_TOKENS, min(enough, int(budget / max(token_bytes, 1))))
    kept = min(tokens, step_tokens) if cached else step_tokens
    return Sizing(tokens, cached, token_bytes * kept)


def largest_fitting(tokens: int, attempt: Callable[[int], None]) -> int:
    """Halve a mini-batch until one runs on the device.

    Args:
        tokens: Where to start.
        attempt: Runs forward and backward with so many tokens.

    Raises:
        torch.OutOfMemoryError: Not even the least mini-batch fits.
    """
    while True:
        try:
            attempt(tokens)
            return tokens
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            if tokens <= LEAST_TOKENS:
                raise
            logger.warning("a mini-batch of %d tokens does not fit; trying %d", tokens, tokens // 2)
            tokens //= 2


def dry_run(sizing: Sizing, step_tokens: int, attempt: Callable[[int], None]) -> Sizing:
    """Correct an estimate by trying it: a step that does not fit is cached, a mini-batch halved.

    Args:
        sizing: The estimate.
        step_tokens: Tokens of a large step.
        attempt: Runs forward and backward with so many tokens.

    Raises:
        torch.OutOfMemoryError: Not even the least mini-batch fits.
    """
    if not sizing.cached:
        try:
            attempt(step_tokens)
            return sizing
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            logger.warning("a step of %d tokens does not fit at once: gradient caching", step_tokens)
    return sizing._replace(tokens=largest_fitting(sizing.tokens, attempt), cached=True)


def forward_backward(model: SentenceTransformer, tokens: int, *, bf16: bool) -> None:
    """One forward and backward pass over ``tokens`` tokens of texts of full length, then forgotten.

    Args:
        model: The model on its device.
        tokens: Tokens, padding included.
        bf16: bf16 autocast.
    """
    length = min(int(model.max_seq_length or 512), tokens)
    ids = torch.ones(max(1, tokens // length), length, dtype=torch.long, device=model.device)
    with torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=bf16):
        vectors = model({"input_ids": ids, "attention_mask": torch.ones_like(ids)})["sentence_embedding"]
    vectors.float().sum().backward()
    model.zero_grad(set_to_none=True)


def trial_flops(device: torch.device, *, bf16: bool, size: int = 512) -> float:
    """Floating-point operations a second of a square matrix product, the best of some tries.

    Args:
        device: Where.
        bf16: In bf16 rather than fp32.
        size: Rows and columns.
    """
    a = torch.ones(size, size, device=device, dtype=torch.bfloat16 if bf16 else torch.float32)
    best = float("inf")
    for _ in range(4):
        started = time.perf_counter()
        product = a @ a
        float(product[0, 0])  # waits for the device
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best

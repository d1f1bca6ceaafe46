"""What this machine computes fast."""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path
from typing import Literal

from embedlib.models.options import Precision
from embedlib.process import cpu_cores


@lru_cache(maxsize=1)
def cpu_flags() -> frozenset[str]:
    """The processor's features as Linux names them; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    return next(
        (frozenset(line.split(":", 1)[1].split()) for line in lines if line.startswith("flags")), frozenset()
    )


def default_device() -> str:
    """``cuda`` or ``mps`` where there is one, else ``cpu``; without a driver torch is not imported."""
    if sys.platform == "linux" and not Path("/dev/nvidiactl").exists() and not Path("/dev/kfd").exists():
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def resolve_precision(precision: Literal["auto", "fp32", "bf16"], device: str | None = None) -> Precision:
    """A definite precision: ``auto`` is bf16 where the hardware multiplies it faster than fp32.

    That is GPUs with bf16 arithmetic and CPUs with AMX or AVX512-BF16.
    """
    if precision != "auto":
        return precision
    device = device or default_device()
    if device.startswith("cuda"):
        import torch

        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device != "cpu":
        return "fp32"
    return "bf16" if cpu_flags() & {"amx_bf16", "avx512_bf16"} else "fp32"


def no_attention_plans() -> None:
    """Leave cuDNN's attention out on a GPU: it plans anew for every shape, and batches of texts differ.

    In a profile of training (an H200, torch 2.11, all-MiniLM-L6-v2's size) a call of
    ``scaled_dot_product_attention`` took 9 ms, more than half of the forward pass; that the plans are why is
    inferred. Its other kernels need none.
    """
    import torch

    torch.backends.cuda.enable_cudnn_sdp(False)


def share_cores(workers: int) -> None:
    """Use this process's share of the cores when ``workers`` processes of one machine compute at once."""
    import torch

    torch.set_num_threads(max(1, cpu_cores() // max(1, workers)))

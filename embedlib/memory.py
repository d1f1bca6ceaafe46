"""Peak memory of this process, and of a part of its work; what is said where there is none left."""

from __future__ import annotations

import resource
from pathlib import Path

#: How libraries word a failed allocation (PyTorch's CPU allocator).
MEMORY_WORDS = ("can't allocate memory", "not enough memory", "out of memory", "DefaultCPUAllocator")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception of any library says that memory ran out."""
    text = str(error).lower()
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or any(word.lower() in text for word in MEMORY_WORDS)
    )


def reset_peak_memory() -> None:
    """Start a new peak where the kernel allows it (Linux: ``proc(5)``, ``clear_refs`` value 5)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def peak_memory_mb() -> float:
    """Highest resident set in MiB since ``reset_peak_memory``, or since the start."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

"""Peak memory of this process, and of a part of its work."""

from __future__ import annotations

import resource
from pathlib import Path


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

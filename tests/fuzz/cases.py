"""Cases one after the other, each with randomness of its own, until enough or the time is up."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from fuzz.source_cases import source_case
from fuzz.workspace_cases import Case, SmallWorkspace


def run_cases(workspace: SmallWorkspace, folder: Path, seed: int, count: int, seconds: float) -> list[Case]:
    """Two cases of a damaged workspace to one of random documents.

    Args:
        workspace: What is damaged.
        folder: Where sources are written.
        seed: Case ``n`` of a seed is always the same.
        count: How many.
        seconds: No case begins after so long.
    """
    end, cases = time.monotonic() + seconds, []
    for number in range(count):
        if time.monotonic() > end:
            break
        rng = np.random.default_rng([seed, number])
        cases.append(source_case(rng, folder, workspace.model) if number % 3 == 2 else workspace.case(rng))
    return cases

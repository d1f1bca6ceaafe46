"""``python -m tests.fuzz``: random damage and random documents, bounded in time, the same for the same seed."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ |= {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1", "COLUMNS": "200"}

from fuzz.cases import run_cases
from fuzz.workspace_cases import SmallWorkspace


def main() -> int:
    """Run the cases and print what was tried and what did not hold; exit code 1 where something did not."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=2400, help="how many; a third reads documents")
    parser.add_argument("--seconds", type=float, default=1500.0, help="begin no case after so long")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="embedlib-fuzz-") as folder:
        workspace = SmallWorkspace(Path(folder) / "workspace")
        cases = run_cases(workspace, Path(folder) / "source", options.seed, options.cases, options.seconds)
    failures = [failure for case in cases for failure in case.failures]
    for failure in failures:
        print(
            f"{failure.what}\n  damaged: {failure.damaged}\n  command: {failure.command}\n  {failure.detail}\n"
        )
    print(f"seed {options.seed}: {len(cases)} cases in {time.monotonic() - started:.0f} s")
    for (name, code), count in sorted(Counter((c.command, c.code) for c in cases).items(), key=str):
        print(f"  {count:5d} × {name} ended with {code}")
    print(f"{len(failures)} of them did not hold")
    return bool(failures)


if __name__ == "__main__":
    raise SystemExit(main())

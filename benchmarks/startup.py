"""Seconds from a command to its answer, each in a process of its own.

    python -m benchmarks.startup WORKSPACE [--rounds 5]

Wall and processor time, medians; on a machine that is busy the second says more. Exit code 1 when a
search's hits differ from those of a searcher in this process.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time

from benchmarks.workspace import arguments, machine
from embedlib.index.search import Searcher

QUERY = "wait for several threads to reach the same point"


def main() -> int:
    """Measure help and the three modes by turns."""
    parser = arguments(__doc__)
    parser.add_argument("workspace")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(machine())
    search = ["search", QUERY, "--workspace", options.workspace, "--json", "--mode"]
    commands = {"--help": ["--help"]} | {mode: [*search, mode] for mode in ("bm25", "dense", "hybrid")}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    found = {}
    for _ in range(options.rounds):
        for name, command in commands.items():
            wall, cpu, found[name] = run(command)
            times[name].append((wall, cpu))
    for name, pairs in times.items():
        wall, cpu = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(f"{name:8} {wall:6.2f} s, {cpu:5.2f} s of processor time (median of {len(pairs)})")
    searcher = Searcher(options.workspace)
    wrong = [
        mode
        for mode in ("bm25", "dense", "hybrid")
        if [hit["doc_id"] for hit in json.loads(found[mode])]
        != [hit.doc_id for hit in searcher.search(QUERY, mode=mode)]
    ]
    print("the hits are those of a searcher" if not wrong else f"other hits: {wrong}")
    return int(bool(wrong))


def run(arguments: list[str]) -> tuple[float, float, str]:
    """Seconds, seconds of processor time, and output of a command."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "embedlib.cli", *arguments]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, output


if __name__ == "__main__":
    sys.exit(main())

"""Search latency while releases are published and rolled back, against the same load in quiet.

    python -m benchmarks.swap [--searches 1000] [--swaps 20]

Two releases with different models and different corpora (the standard library's docstrings in two
halves), so that an answer that mixes them shows. Searchers run in threads of this process, the
publisher in a process of its own at a lower priority, as a scheduled publish should be.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.workspace import WORKSPACE, arguments, machine
from embedlib.artifact import ArtifactRef
from embedlib.config.data import DocstringsSource, Ingest
from embedlib.config.index import Index
from embedlib.config.models import Encode, Model
from embedlib.contracts import CORPUS, Corpus, write_table
from embedlib.index.release import Terms, publish, rollback
from embedlib.index.search import Searcher
from embedlib.index.verify import Checks
from embedlib.models.local import load_encoder
from embedlib.stages import encode, index, ingest, pin
from embedlib.stages.base import run_stage
from embedlib.store import Recipe, Store, Work

QUERIES = (
    "join two paths", "parse a date", "open a socket", "read a csv file", "sort a list of tuples",
    "compress bytes", "run a subprocess", "match a regular expression", "random choice", "copy a folder",
)  # fmt: skip
THREADS = 4


def main() -> int:
    """Measure quiet and swapping by turns; exit code 1 when an answer is wrong or p99 more than doubles."""
    parser = arguments(__doc__)
    parser.add_argument("--searches", type=int, default=1000)
    parser.add_argument("--swaps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    print(machine())
    root = WORKSPACE.with_name(WORKSPACE.name + "-swap")
    store = Store(root)
    sides = prepare(store)
    shutil.rmtree(root / "releases", ignore_errors=True)
    publish(root, **sides[0])
    searcher = Searcher(root)
    owner = {side: set(Corpus(parts["corpus"].path).ids) for side, parts in enumerate(sides)}
    load(searcher, 200, owner)
    quiet: list[float] = []
    swapping: list[float] = []
    problems: list[str] = []
    for _ in range(options.rounds):
        times, wrong, _ = load(searcher, options.searches, owner)
        quiet += times
        problems += wrong
        process = multiprocessing.get_context("spawn").Process(target=swap, args=(root, options.swaps))
        process.start()
        times, wrong, seen = load(searcher, options.searches, owner, while_alive=process)
        process.join()
        swapping += times
        problems += wrong + ([] if process.exitcode == 0 else ["the publisher failed"])
        print(
            f"{options.swaps} swaps during {len(times)} searches; answers from {len(seen)} releases",
            flush=True,
        )
    for name, times in (("quiet", quiet), ("swapping", swapping)):
        p50, p99 = np.percentile(np.array(times) * 1000, [50, 99])
        print(f"{name:<9} {len(times)} searches, {THREADS} threads: p50 {p50:.1f} ms, p99 {p99:.1f} ms")
    ratio = float(np.percentile(swapping, 99) / np.percentile(quiet, 99))
    print(
        f"p99 ratio {ratio:.2f} (at most 2 wanted); errors and mixed answers: {len(problems)} {problems[:3]}"
    )
    return 0 if ratio <= 2 and not problems else 1


def prepare(store: Store) -> list[dict[str, ArtifactRef]]:
    """Two sets of parts: the even documents with the base model, the odd ones with half of its length."""
    everything = run_stage(store, ingest.STAGE, Ingest(source=DocstringsSource())).ref
    sides = []
    for half, max_length in ((0, 256), (1, 128)):
        corpus = store.build(
            Recipe("half", "corpus", "benchmark", {"half": half}, {"corpus": everything}),
            lambda work, half=half: write_half(everything, half, work),  # type: ignore[misc]
        ).ref
        model = run_stage(store, pin.STAGE, Model(max_length=max_length)).ref
        vectors = run_stage(store, encode.STAGE, Encode(), corpus=corpus, model=model).ref
        made = run_stage(store, index.STAGE, Index(), corpus=corpus, model=model, vectors=vectors).ref
        sides.append({"corpus": corpus, "model": model, "vectors": vectors, "index": made})
    return sides


def write_half(corpus: ArtifactRef, half: int, work: Work) -> dict[str, Any]:
    """Every second document."""
    documents = Corpus(corpus.path).documents()
    rows = (d._asdict() for i, d in enumerate(documents) if i % 2 == half)
    return {"rows": write_table(work.out / "corpus.parquet", rows, CORPUS)}


def swap(root: Path, swaps: int) -> None:
    """Publish and roll back by turns, one swap about every half second."""
    os.nice(10)
    sides = prepare(Store(root))
    encoders = [load_encoder(parts["model"].path) for parts in sides]
    (root / "swapping").touch()
    for number in range(swaps):
        if number % 4 == 3:
            rollback(root, why="benchmark")
        else:
            side = number % 2
            publish(
                root,
                **sides[1 - side],
                terms=Terms(checks=Checks(self_checks=20, encoder=encoders[1 - side])),
            )
        time.sleep(0.5)


def load(
    searcher: Searcher, count: int, owner: dict[int, set[str]], while_alive: Any = None
) -> tuple[list[float], list[str], set[int]]:
    """Search from all threads, each a query about every 40 ms; only searches during swaps are counted."""
    ready = searcher.root / "swapping"
    times: list[float] = []
    problems: list[str] = []
    releases: set[int] = set()
    counter: Iterator[int] = iter(range(10**9))
    while while_alive is not None and not ready.exists() and while_alive.is_alive():
        time.sleep(0.05)

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        while next(counter) < count or (while_alive is not None and while_alive.is_alive()):
            time.sleep(float(rng.exponential(0.04)))
            started = time.perf_counter()
            try:
                hits = searcher.search(QUERIES[int(rng.integers(len(QUERIES)))], k=10)
            except Exception as error:  # noqa: BLE001 - every error counts as a failure of the benchmark
                problems.append(repr(error))
                continue
            times.append(time.perf_counter() - started)
            numbers, ids = {h.release for h in hits}, {h.doc_id for h in hits}
            releases.update(numbers)
            if len(numbers) != 1 or not any(ids <= owned for owned in owner.values()):
                problems.append(f"mixed: {numbers} {sorted(ids)[:3]}")

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ready.unlink(missing_ok=True)
    return times, problems, releases


if __name__ == "__main__":
    sys.exit(main())

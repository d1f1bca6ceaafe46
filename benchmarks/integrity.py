"""What it costs to compare content with its checksums: artifacts of the sizes of 64,000 documents.

Sizes as of scale-debian with all-MiniLM-L6-v2: vectors 64,000 x 384 float16, an HNSW index of them, their
documents, the model. Three costs: everything read (publish, rollback, ``verify``, a first reader), a release
opened again (checksums remembered beside the releases), an artifact used again in one process.

    python -m benchmarks.integrity
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.workspace import machine
from embedlib.artifact import ArtifactRef
from embedlib.integrity import SEEN_HERE, SETTLED_NS, Checksums
from embedlib.store import Recipe, Store, Work

MB = 1_000_000
SIZES = {
    "vectors": 64_000 * 384 * 2,
    "index": 64_000 * (384 * 4 + 2 * 32 * 4 + 8) + 45 * MB,  # graph with 32 links, and the documents
    "model": 91 * MB,
    "corpus": 20 * MB,
}
ROUNDS = 5


def main() -> None:
    """Print the medians."""
    print(machine())
    with tempfile.TemporaryDirectory(prefix="embedlib-integrity-") as folder:
        store = Store(Path(folder) / "ws")
        refs = [_artifact(store, kind, size) for kind, size in SIZES.items()]
        time.sleep(2 * SETTLED_NS / 1e9)
        side = Path(folder) / "remembered.json"
        known = Checksums()
        _check(refs, known)
        known.write(side)
        size = sum(SIZES.values()) / MB
        full = _median(lambda: _check(refs, Checksums()))
        again = _median(lambda: _check(refs, Checksums.read(side)))
        _check(refs, SEEN_HERE)
        here = _median(lambda: _check(refs, SEEN_HERE))
    print(f"everything read: {full:.3f} s for {size:.0f} MB, {size / full:.0f} MB/s")
    print(f"vectors alone, as a refresh reuses them: {full * SIZES['vectors'] / MB / size:.3f} s")
    print(f"opened again, nothing changed: {again * 1000:.2f} ms")
    print(f"used again in one process: {here * 1000:.2f} ms")


def _artifact(store: Store, kind: str, size: int) -> ArtifactRef:
    def make(work: Work) -> dict[str, int]:
        (work.out / "data").write_bytes(np.random.default_rng(0).bytes(size))
        return {"bytes": size}

    return store.build(Recipe("benchmark", kind, "1"), make).ref


def _check(refs: list[ArtifactRef], checksums: Checksums) -> None:
    for ref in refs:
        ref.require_intact(checksums)


def _median(call: Callable[[], None]) -> float:
    taken = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


if __name__ == "__main__":
    main()

"""Peak memory of the encode stage at 4,000, 16,000 and 64,000 documents, every size in a process of its own.

python -m benchmarks.encode_memory
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from typing import Any

from benchmarks.encode import package_descriptions
from benchmarks.workspace import arguments, in_own_process, machine


def main() -> int:
    """Measure each size."""
    parser = arguments(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[4000, 16000, 63905])
    parser.add_argument("--max-length", type=int, help="word pieces a document")
    parser.add_argument("--synthetic", action="store_true", help="short made-up documents")
    parser.add_argument("--stage", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    if options.stage:
        return encode_stage(options.stage)
    print(machine("torch", "transformers", "sentence-transformers"))
    return memory(options.sizes, options.max_length, options.synthetic)


def memory(sizes: list[int], max_length: int | None, synthetic: bool) -> int:
    """Peak memory of the encode stage at each size, with the largest over the smallest."""
    print(f"{'documents':>10}{'tokens/s':>10}{'seconds':>9}{'peak MB':>9}")
    peaks = []
    for size in sizes:
        values = {"size": size, "max_length": max_length, "synthetic": synthetic}
        found = in_own_process("encode_memory", "--stage", json.dumps(values))
        peaks.append(found["peak_mb"])
        print(
            f"{found['documents']:10,}{found['tokens_per_s']:10,.0f}{found['seconds']:9.1f}{peaks[-1]:9,.0f}"
        )
    print(f"largest over smallest: {peaks[-1] / peaks[0]:.3f}")
    return 0


def encode_stage(values: dict[str, Any]) -> int:
    """One size in this process; prints a line of JSON."""
    from embedlib.config.models import Encode, Model
    from embedlib.memory import peak_memory_mb, reset_peak_memory
    from embedlib.stages import encode, pin
    from embedlib.stages.base import run_stage
    from embedlib.store import Store

    with tempfile.TemporaryDirectory(prefix="embedlib-encode-") as folder:
        store = Store(folder)
        corpus = write_corpus(store, values["size"], values["synthetic"])
        model = run_stage(store, pin.STAGE, Model(max_length=values["max_length"])).ref
        reset_peak_memory()
        started = time.perf_counter()
        built = run_stage(store, encode.STAGE, Encode(), corpus=corpus, model=model)
        summary = built.ref.manifest.summary
        peak = max(peak_memory_mb(), summary["shard_peak_memory_mb"], built.ref.manifest.peak_memory_mb)
        seconds = time.perf_counter() - started
    found = {key: summary[key] for key in ("documents", "tokens_per_s")}
    print(json.dumps({**found, "seconds": seconds, "peak_mb": peak}))
    return 0


def write_corpus(store: Any, size: int, synthetic: bool) -> Any:
    """A corpus artifact of real descriptions (repeated with a number when they run out) or made-up ones."""
    from embedlib.contracts import CORPUS, content_hash, write_table
    from embedlib.store import Recipe

    real = [] if synthetic else package_descriptions(size)

    def row(number: int) -> dict[str, str]:
        doc_id = f"{number:08d}"
        text = (
            real[number] if number < len(real) else f"item {number * 7919 % 1_000_003} of kind {number % 97}"
        )
        hashed = content_hash("", text)
        empty = {"title": "", "source": "bench", "metadata": "{}"}
        return {"doc_id": doc_id, "text": text, "group_id": doc_id, "content_hash": hashed, **empty}

    def make(work: Any) -> dict[str, int]:
        return {"documents": write_table(work.out / "corpus.parquet", map(row, range(size)), CORPUS)}

    return store.build(Recipe("ingest", "corpus", "bench", {"size": size}), make).ref


if __name__ == "__main__":
    sys.exit(main())

"""Indexes against exact search: recall, single-threaded speed, build time and memory.

python -m benchmarks.index            # 63,905 real vectors, every type; must reach recall@10 .95 at 5x flat
python -m benchmarks.index --million  # 1,000,000 synthetic vectors within --memory-mb
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.workspace import WORKSPACE, arguments, machine, real_vectors
from embedlib.contracts import Corpus, Floats, Rows
from embedlib.index.artifact import save_faiss
from embedlib.index.build import build_index
from embedlib.index.choose import Demands
from embedlib.index.dense import DenseIndex, faiss_threads
from embedlib.index.info import SearchSettings, open_index
from embedlib.index.queries import sample_queries
from embedlib.index.select import SelectedIndex, select_index
from embedlib.index.tune import recall_at_k, setting_label
from embedlib.memory import peak_memory_mb, reset_peak_memory
from embedlib.models.local import load_encoder
from embedlib.retrieval.dense import exact_search
from embedlib.store import Store
from embedlib.vectors import Vectors, VectorsInfo

K, TARGET, SPEEDUP = 10, 0.95, 5.0
TYPES = ("HNSW32", "HNSW32_SQ8", "IVF1024,Flat", "IVF1024,SQ8", "IVF1024,PQ96", "binary")


def main() -> int:
    """Run one of the two benchmarks; the exit code says whether what was promised holds."""
    parser = arguments(__doc__)
    parser.add_argument("--million", action="store_true", help="synthetic vectors instead of real ones")
    parser.add_argument("--count", type=int, default=1_000_000, help="number of synthetic vectors")
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--memory-mb", type=float, default=100.0, help="budget of the synthetic index")
    parser.add_argument("--types", nargs="*", default=TYPES)
    options = parser.parse_args()
    print(machine())
    if options.million:
        return million(options.count, options.dimension, options.memory_mb)
    return real(options.types)


def real(types: list[str]) -> int:
    """Every type on the real vectors, tuned to the recall target, against flat, on held-out queries."""
    parts = real_vectors(Store(WORKSPACE))
    vectors, corpus = Vectors(parts["vectors"].path), Corpus(parts["corpus"].path)
    texts = sample_queries(None, corpus, 400, rng=np.random.default_rng(0)).texts
    encoded = load_encoder(parts["model"].path).encode_queries(texts)
    tuning, held_out = encoded[::2], encoded[1::2]
    truth = exact_search(held_out, vectors.blocks, K).rows
    flat = DenseIndex(
        build_index("Flat", vectors, vectors.dimension, rng=np.random.default_rng(0)),
        vectors, SearchSettings(),
    )  # fmt: skip
    print(f"{len(vectors):,} vectors of {vectors.dimension}, {len(held_out)} held-out queries, one thread")
    print(f"{'type':<14}{'setting':<22}{'recall@10':>10}{'ms':>9}{'x flat':>8}{'MiB':>8}{'build s':>9}")
    best = 0.0
    for factory in types:
        made = select_index(vectors, tuning, Demands(factory=factory), rng=np.random.default_rng(0))
        best = max(best, row(made, flat, vectors, held_out, truth))
    print(f"fastest at recall@{K} >= {TARGET}: {best:.1f} times flat (at least {SPEEDUP:g} wanted)")
    return 0 if best >= SPEEDUP else 1


def row(made: SelectedIndex, flat: DenseIndex, vectors: Vectors, queries: Floats, truth: Rows) -> float:
    """Print one type's figures; returns its speed against flat if its recall is enough, else 0."""
    dense = DenseIndex(made.index, vectors, made.tuned.settings)
    recall = recall_at_k(dense.search(queries, K).rows, truth)
    mine, exact = alternated(dense, flat, queries)
    with tempfile.TemporaryDirectory() as folder:
        save_faiss(made.index, Path(folder) / "i.faiss")
        size = (Path(folder) / "i.faiss").stat().st_size / 2**20
    figures = f"{recall:>10.4f}{mine:>9.3f}{exact / mine:>8.1f}{size:>8.0f}{made.build_s:>9.1f}"
    print(f"{made.factory:<14}{setting_label(made.tuned.settings):<22}{figures}", flush=True)
    return exact / mine if recall >= TARGET else 0.0


def alternated(a: DenseIndex, b: DenseIndex, queries: Floats) -> tuple[float, float]:
    """Median milliseconds of a single query on one thread, both indexes in turn on the same queries."""
    times: tuple[list[float], list[float]] = ([], [])
    with faiss_threads(1):
        for query in queries:
            for index, found in zip((a, b), times, strict=True):
                started = time.perf_counter()
                index.search(query[None], K)
                found.append(time.perf_counter() - started)
    return float(np.median(times[0])) * 1000, float(np.median(times[1])) * 1000


def million(count: int, dimension: int, memory_mb: float) -> int:
    """``auto`` on synthetic clustered vectors: the index, mapped and searched, stays within the budget."""
    with tempfile.TemporaryDirectory(dir=WORKSPACE.parent) as folder:
        vectors = synthetic(Path(folder), count, dimension)
        queries = noisy(vectors.take(np.arange(0, count, count // 200)), 200)
        reset_peak_memory()
        before = peak_memory_mb()
        demands = Demands(memory_mb=memory_mb)
        started = time.perf_counter()
        made = select_index(vectors, queries[::2], demands, rng=np.random.default_rng(0))
        print(f"{count:,} synthetic vectors of {dimension}: {made.reason}")
        print(
            f"chosen, built and tuned in {time.perf_counter() - started:.0f} s, build {made.build_s:.0f} s, "
        )
        print(
            f"peak {peak_memory_mb():.0f} MiB ({before:.0f} before); "
            f"all vectors in float32 would be {count * dimension * 4 / 2**20:.0f}"
        )
        save_faiss(made.index, Path(folder) / "i.faiss")
        size = (Path(folder) / "i.faiss").stat().st_size / 2**20
        truth = exact_search(queries[1::2], vectors.blocks, K).rows
        dense = DenseIndex(open_index(Path(folder) / "i.faiss"), vectors, made.tuned.settings)
        recall = recall_at_k(dense.search(queries[1::2], K).rows, truth)
        print(
            f"{setting_label(made.tuned.settings)}: recall@{K} {recall:.4f} on held-out queries, "
            f"{made.latency_ms:.2f} ms a query"
        )
        print(f"file {size:.0f} MiB, budget {memory_mb:.0f} MiB")
        return 0 if size <= memory_mb and recall >= TARGET - 0.02 else 1


def synthetic(folder: Path, count: int, dimension: int, centres: int = 2000) -> Vectors:
    """Unit vectors around random centres, written as float16 shards a block at a time."""
    rng = np.random.default_rng(0)
    middle = rng.standard_normal((centres, dimension)).astype(np.float32)
    names = []
    for start in range(0, count, 50_000):
        size = min(50_000, count - start)
        block = middle[rng.integers(centres, size=size)] + rng.standard_normal((size, dimension)).astype(
            np.float32
        )
        names.append(f"{len(names):05d}.npy")
        np.save(folder / names[-1], (block / np.linalg.norm(block, axis=1, keepdims=True)).astype(np.float16))
    VectorsInfo(
        dimension=dimension, dtype="float16", count=count, normalized=True, model_digest="", encoding={},
        corpus_digest="", shards=names, rows=[min(50_000, count - s) for s in range(0, count, 50_000)],
    ).write(folder)  # fmt: skip
    return Vectors(folder)


def noisy(vectors: Floats, count: int) -> Floats:
    """Queries near documents: ``count`` vectors with noise of half their length, at unit norm."""
    rng = np.random.default_rng(1)
    moved = vectors[:count] + 0.5 * rng.standard_normal(vectors[:count].shape) / np.sqrt(vectors.shape[1])
    moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    return np.ascontiguousarray(moved, dtype=np.float32)


if __name__ == "__main__":
    sys.exit(main())

"""Hard-negative mining against sentence-transformers on the same inputs.

Each miner runs in a process of its own on the same stored vectors; the two take turns, and the
figures are medians. Fails when negatives differ, not when something is slow.

    python -m benchmarks.mining                       # made-up vectors: 20,000 queries, 64,000 documents
    python -m benchmarks.mining --data nl2bash        # its train pairs (encodes with the base model first)
    python -m benchmarks.mining --data scale-debian   # 20,000 titles
    python -m benchmarks.mining --curve               # 4,000, 16,000, 64,000 documents
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.workspace import DATA, arguments, debian, in_own_process, machine

SYSTEMS = ("sentence-transformers", "embedlib")
NEGATIVES, RANGE_MAX, MARGIN = 7, 100, 0.05
#: Scores are sums of 384 products in float32: two that differ by less are a tie in either system.
TIE = 2e-6


def main() -> int:
    """Run what was asked for; 1 when results are wrong."""
    parser = arguments(__doc__)
    parser.add_argument("--data", choices=("synthetic", "nl2bash", "scale-debian"), default="synthetic")
    parser.add_argument("--queries", type=int, default=20_000)
    parser.add_argument("--documents", type=int, default=64_000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--curve", action="store_true")
    parser.add_argument("--worker", choices=SYSTEMS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    if options.worker:
        return worker(options.worker, options.folder)
    print(machine("torch", "sentence-transformers", "numpy"))
    sizes = [4_000, 16_000, 64_000] if options.curve else [options.documents]
    return max(compare(options.data, options.queries, size, options.turns) for size in sizes)


def compare(data: str, queries: int, documents: int, turns: int) -> int:
    """Mine with both systems in turn; print medians, ratios and agreement."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        {"synthetic": synthetic, "nl2bash": nl2bash, "scale-debian": titles}[data](folder, queries, documents)
        size = [len(np.load(folder / f"{name}.npy", mmap_mode="r")) for name in ("queries", "documents")]
        measured: dict[str, list[dict[str, float]]] = {system: [] for system in SYSTEMS}
        for _ in range(turns):
            for system in SYSTEMS:
                measured[system].append(in_own_process("mining", "--worker", system, "--folder", str(folder)))
        print(
            f"{data}: {size[0]} queries, {size[1]} documents, {NEGATIVES} negatives of the first {RANGE_MAX}"
        )
        medians = {
            system: {key: statistics.median(m[key] for m in runs) for key in runs[0]}
            for system, runs in measured.items()
        }
        for system, m in medians.items():
            print(
                f"  {system:22} {m['seconds']:7.2f} s  {m['cpu']:7.2f} s of processor time"
                f"  {m['memory_mb']:6.0f} MiB more at the peak"
            )
        theirs, ours = (medians[system] for system in SYSTEMS)
        print(f"  {theirs['seconds'] / ours['seconds']:.1f} times as fast")
        return agreement(folder)


def worker(system: str, folder: Path) -> int:
    """Mine, write the negatives, and print seconds and peak memory above the loaded libraries."""
    import torch  # noqa: F401 - embedlib takes it up in mid-search, which no warm-up of this size reaches

    from embedlib.memory import peak_memory_mb, reset_peak_memory

    mine = mine_oracle if system == SYSTEMS[0] else mine_ours
    mine(load(folder, warm_up=True))  # libraries are imported and threads started
    inputs = load(folder)
    reset_peak_memory()
    before = peak_memory_mb()
    started, used = time.perf_counter(), time.process_time()
    table = mine(inputs)
    seconds, cpu = time.perf_counter() - started, time.process_time() - used
    print(json.dumps({"seconds": seconds, "cpu": cpu, "memory_mb": peak_memory_mb() - before}))
    np.save(folder / f"{system}.npy", table)
    return 0


def load(folder: Path, warm_up: bool = False) -> dict[str, Any]:
    """Vectors (float32), one positive a query; the first 100 of each to warm up."""
    queries, documents = (np.load(folder / f"{name}.npy") for name in ("queries", "documents"))
    positives = np.load(folder / "positives.npy")
    if warm_up:
        queries, documents, positives = queries[:100], documents[:1000], np.arange(100)
    return {"queries": queries, "documents": documents, "positives": positives}


def mine_ours(inputs: dict[str, Any]) -> np.ndarray:
    """The miner and sampler of embedlib over blocks of queries."""
    from embedlib.mining.blocks import sample
    from embedlib.mining.miner import Sources, mine
    from embedlib.mining.options import Rules, Thresholds

    vectors = inputs["documents"]
    step = 4096

    def blocks() -> Iterator[tuple[int, np.ndarray]]:
        return ((low, vectors[low : low + step]) for low in range(0, len(vectors), step))

    sources = Sources(blocks, lambda rows: vectors[rows], np.arange(len(vectors)))
    rules = Rules(("dense",), RANGE_MAX + 1, 1.0, Thresholds(relative_margin=MARGIN))
    out = np.full((len(inputs["queries"]), NEGATIVES), -1, dtype=np.int64)
    for low in range(0, len(out), 4096):
        part = slice(low, low + 4096)
        block = inputs["queries"][part]
        mined = mine([""] * len(block), block, inputs["positives"][part, None], sources, rules)
        rng = np.random.default_rng(0)
        places = sample(mined.keep, mined.candidates.ranking, NEGATIVES, "top", sample_from=1, rng=rng)
        rows = np.take_along_axis(mined.candidates.rows, np.maximum(places, 0), axis=1)
        out[part] = np.where(places < 0, -1, rows)
    return out


class Encoded:
    """Stored vectors behind the methods that ``mine_hard_negatives`` calls; texts are row numbers."""

    device = "cpu"

    def __init__(self, inputs: dict[str, Any]) -> None:
        self.inputs = inputs
        self.model_card_data = type("Card", (), {"base_model": None})()

    def encode_query(self, texts: list[str], **_: Any) -> np.ndarray:
        """Query vectors."""
        return self.inputs["queries"][[int(text[1:]) for text in texts]]

    def encode_document(self, texts: list[str], **_: Any) -> np.ndarray:
        """Document vectors."""
        return self.inputs["documents"][[int(text) for text in texts]]

    def similarity(self, a: Any, b: Any) -> Any:
        """Inner products, as for a model that normalises."""
        from sentence_transformers.util import dot_score

        return dot_score(a, b)

    def similarity_pairwise(self, a: Any, b: Any) -> Any:
        """Inner products of pairs."""
        from sentence_transformers.util import pairwise_dot_score

        return pairwise_dot_score(a, b)


def mine_oracle(inputs: dict[str, Any]) -> np.ndarray:
    """``mine_hard_negatives``; its default batch of queries needs gigabytes here, so it gets 512."""
    from datasets import Dataset
    from sentence_transformers.util import mine_hard_negatives

    queries, documents, positives = (inputs[name] for name in ("queries", "documents", "positives"))
    pairs = {"anchor": [f"q{i}" for i in range(len(queries))], "positive": [str(p) for p in positives]}
    mined = mine_hard_negatives(
        Dataset.from_dict(pairs),
        Encoded(inputs),  # type: ignore[arg-type]
        corpus=[str(i) for i in range(len(documents))],
        range_max=RANGE_MAX,
        relative_margin=MARGIN,
        num_negatives=NEGATIVES,
        output_format="triplet",
        faiss_batch_size=512,
        verbose=False,
    )
    out = np.full((len(queries), NEGATIVES), -1, dtype=np.int64)
    filled = np.zeros(len(queries), dtype=np.int64)
    for anchor, negative in zip(mined["anchor"], mined["negative"], strict=True):
        at = int(anchor[1:])
        out[at, filled[at]] = int(negative)
        filled[at] += 1
    return out


def agreement(folder: Path) -> int:
    """Compare the negatives; only ties may differ."""
    inputs = load(folder)
    theirs, ours = (np.load(folder / f"{system}.npy") for system in SYSTEMS)
    scores = [table_scores(inputs, table) for table in (theirs, ours)]
    differs = np.flatnonzero((np.sort(theirs, axis=1) != np.sort(ours, axis=1)).any(axis=1))
    wrong = [q for q in differs if not np.allclose(scores[0][q], scores[1][q], atol=TIE)]
    print(
        f"  same negatives for {1 - len(differs) / len(ours):.2%} of queries, wrong beyond ties: {len(wrong)}"
    )
    return int(bool(wrong))


def table_scores(inputs: dict[str, Any], table: np.ndarray) -> np.ndarray:
    """Scores of the negatives in descending order, -1 where there are fewer."""
    out = np.empty(table.shape)
    for low in range(0, len(table), 1024):
        rows = table[low : low + 1024]
        vectors = inputs["documents"][np.maximum(rows, 0)]
        out[low : low + 1024] = np.einsum("qd,qnd->qn", inputs["queries"][low : low + 1024], vectors)
    out[table < 0] = -1
    return -np.sort(-out, axis=1)


def synthetic(folder: Path, queries: int, documents: int) -> None:
    """Clustered unit vectors of 384 components; a query lies near its positive."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((200, 384)).astype(np.float32)
    vectors = unit(centres[rng.integers(0, 200, documents)] + rng.standard_normal((documents, 384)))
    positives = rng.integers(0, documents, queries)
    asked = unit(vectors[positives] + 0.8 * unit(rng.standard_normal((queries, 384))))
    store(folder, asked, vectors, positives)


def nl2bash(folder: Path, queries: int, documents: int) -> None:
    """Its 9,071 train queries with their first relevant document."""
    lines = {
        name: (DATA / "nl2bash" / f"{name}.jsonl").read_text().splitlines() for name in ("queries", "corpus")
    }
    texts = {row["_id"]: row["text"] for row in map(json.loads, lines["queries"])}
    corpus = [json.loads(line) for line in lines["corpus"]]
    row_of = {row["_id"]: i for i, row in enumerate(corpus)}
    first: dict[str, int] = {}
    for line in (DATA / "nl2bash" / "qrels" / "train.tsv").read_text().splitlines()[1:]:
        query, document, relevance = line.split("\t")
        if int(relevance) > 0:
            first.setdefault(query, row_of[document])
    asked = list(first)[:queries]
    bodies = [f"{row.get('title', '')} {row['text']}".strip() for row in corpus]
    encode(folder, [texts[q] for q in asked], bodies, np.array([first[q] for q in asked]))


def titles(folder: Path, queries: int, documents: int) -> None:
    """The first 20,000 titles as queries for their descriptions."""
    corpus = [row for row in debian() if row["title"] and row["text"]]
    asked = corpus[:queries]
    encode(folder, [row["title"] for row in asked], [row["text"] for row in corpus], np.arange(len(asked)))


def encode(folder: Path, queries: list[str], documents: list[str], positives: np.ndarray) -> None:
    """Encode texts with the base model."""
    from embedlib.models.local import load_encoder

    encoder = load_encoder("all-MiniLM-L6-v2", dtype="auto")
    store(folder, unit(encoder.encode_queries(queries)), unit(encoder.encode_documents(documents)), positives)


def store(folder: Path, queries: np.ndarray, documents: np.ndarray, positives: np.ndarray) -> None:
    """Write what both workers read."""
    for name, array in (("queries", queries), ("documents", documents)):
        np.save(folder / f"{name}.npy", array.astype(np.float32))
    np.save(folder / "positives.npy", positives)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows at unit length."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


if __name__ == "__main__":
    sys.exit(main())

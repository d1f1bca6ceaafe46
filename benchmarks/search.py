"""How long a search takes: dense, BM25, fused, fused with feedback; one query at a time, with its encoding.

    python -m benchmarks.search [--documents 20000] [--queries 300]

Documents of ``scale-debian``; queries are the first words of documents. The modes take turns, so that
what else the machine does weighs on all of them. p50 and p99 in milliseconds, with and without the
encoding of the query, which every mode but BM25 shares. The exit code is 1 when a fused answer is not
the one that both full rankings give.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.workspace import arguments, debian, encoded, machine
from embedlib.config.data import Ingest, JsonlSource
from embedlib.config.index import Index, Publish
from embedlib.config.models import Model
from embedlib.contracts import Corpus
from embedlib.index.queries import sample_queries
from embedlib.index.search import Searcher
from embedlib.memory import peak_memory_mb
from embedlib.retrieval.bm25 import build_bm25
from embedlib.retrieval.fusion import fused_scores
from embedlib.retrieval.moments import Moments
from embedlib.retrieval.plan import BM25, DENSE, HYBRID, Feedback
from embedlib.stages import index
from embedlib.stages.base import run_stage
from embedlib.stages.publish import publish_release
from embedlib.store import Store
from embedlib.vectors import Vectors

PLANS = {
    "dense": DENSE,
    "bm25": BM25,
    "hybrid": HYBRID,
    "hybrid, feedback": HYBRID.model_copy(update={"feedback": Feedback()}),
}
K = 10


def main() -> int:
    """Publish, search in turns, print; 1 when a fused answer is wrong."""
    parser = arguments(__doc__)
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--factory", default="auto", help="FAISS factory string of the index")
    parser.add_argument("--max-length", type=int, default=64, help="word pieces encoded of a document")
    options = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory(prefix="search-") as folder:
        root = Path(folder)
        publish(root, options)
        searcher = Searcher(root / "workspace")
        corpus = Corpus(searcher.release.ref(searcher.root, "corpus").path)
        texts = sample_queries(None, corpus, options.queries, rng=np.random.default_rng(0)).texts
        print(f"{len(corpus):,} documents, {len(texts)} queries, {options.factory} index, k = {K}")
        show(measure(searcher, texts))
        return check(searcher, corpus, texts[:20])


def publish(root: Path, options: argparse.Namespace) -> None:
    """The first documents as a release."""
    with (root / "documents.jsonl").open("w", encoding="utf-8") as out:
        for record in debian(options.documents):
            fields = {"id": record["_id"], "title": record.get("title", ""), "text": record["text"]}
            out.write(json.dumps(fields) + "\n")
    store = Store(root / "workspace")
    documents = Ingest(source=JsonlSource(path=root / "documents.jsonl"))
    parts = encoded(store, documents, Model(max_length=options.max_length))
    parts["index"] = run_stage(store, index.STAGE, Index(factory=options.factory), **parts).ref
    publish_release(store.root, Publish(), parts)


def measure(searcher: Searcher, texts: list[str]) -> dict[str, list[float]]:
    """Seconds of each search by plan, in turns; ``encode`` is the query's encoding alone."""
    encoder = searcher._snapshot.encoder
    seconds: dict[str, list[float]] = {name: [] for name in ("encode", *PLANS)}
    for text in texts[:10]:  # the first searches open what they need
        for plan in PLANS.values():
            searcher.search(text, K, plan)
    for text in texts:
        started = time.perf_counter()
        encoder.encode([text])
        seconds["encode"].append(time.perf_counter() - started)
        for name, plan in PLANS.items():
            started = time.perf_counter()
            searcher.search(text, K, plan)
            seconds[name].append(time.perf_counter() - started)
    return seconds


def show(seconds: dict[str, list[float]]) -> None:
    """p50 and p99 of each, and what is left of p50 without the encoding."""
    encoding = float(np.median(seconds["encode"])) * 1e3
    print(f"{'':<18}{'p50 ms':>8}{'p99 ms':>8}{'without encoding':>18}")
    for name, values in seconds.items():
        p50, p99 = (float(np.percentile(values, p)) * 1e3 for p in (50, 99))
        rest = p50 if name == "bm25" else p50 - encoding
        print(f"{name:<18}{p50:>8.2f}{p99:>8.2f}{rest:>18.2f}")
    print(f"peak memory {peak_memory_mb():.0f} MB")


def check(searcher: Searcher, corpus: Corpus, texts: list[str]) -> int:
    """Compare fused answers with the fusion of every document's scores."""
    vectors = Vectors(searcher.release.ref(searcher.root, "vectors").path).load()
    dense = searcher._snapshot.encoder.encode(texts) @ vectors.T
    bm25 = build_bm25(corpus.texts())
    lexical = np.stack([bm25.scores(text) for text in texts])
    truth = fused_scores(dense, lexical, Moments.of(dense), Moments.of(lexical), HYBRID.weight)
    same = 0
    for row, hits in zip(truth, searcher.search(texts, K, HYBRID), strict=True):
        expected = np.sort(row)[::-1][:K]
        same += bool(np.allclose([hit.score for hit in hits], expected, atol=1e-4))
    print(f"{same} of {len(texts)} fused answers are those of the full rankings")
    return int(same < 0.9 * len(texts))


if __name__ == "__main__":
    sys.exit(main())

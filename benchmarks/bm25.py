"""BM25 against rank-bm25 on one corpus: queries a second, both giving the top 100.

python -m benchmarks.bm25    # 50,000 documents; fails when scores differ
"""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np

from benchmarks.workspace import DATA, arguments, debian, machine


def main() -> int:
    """Measure; 1 when scores differ."""
    arguments(__doc__).parse_args()
    print(machine("numpy", "bm25s", "rank-bm25"))
    return bm25()


def bm25(documents: int = 50_000, queries: int = 500, reference_queries: int = 20) -> int:
    """Queries a second of rank-bm25 and of ours on one corpus; both searches give the top 100."""
    from rank_bm25 import BM25Okapi

    from embedlib.retrieval.bm25 import K1, B, build_bm25, lucene_idf
    from embedlib.retrieval.tokens import words

    texts, asked = bm25_texts(documents, queries)
    started = time.process_time()
    index = build_bm25(texts, engine="bm25s")
    built = time.process_time() - started
    tokens = [words(text) for text in texts]
    oracle = BM25Okapi(tokens, k1=K1, b=B)
    oracle.idf = {term: lucene_idf(index.engine.document_frequency(term), documents) for term in oracle.idf}
    started = time.perf_counter()
    hits = index.search(asked, 100)
    ours = (time.perf_counter() - started) / queries
    times, worst = [], 0.0
    for i in range(reference_queries):
        started = time.perf_counter()
        scores = oracle.get_scores(words(asked[i]))
        np.argsort(-scores, kind="stable")[:100]
        times.append(time.perf_counter() - started)
        found = hits.rows[i] >= 0
        expected = np.sort(scores)[::-1][: int(found.sum())] / (K1 + 1)
        worst = max(worst, float(np.abs(hits.scores[i][found] - expected).max(initial=0)))
    theirs = statistics.median(times)
    print(f"BM25 at {documents} documents (ours is built in {built:.1f} s of a core):")
    print(f"  rank-bm25 {theirs * 1e3:8.2f} ms a query\n  embedlib  {ours * 1e3:8.2f} ms a query")
    print(f"  {theirs / ours:.0f} times as many queries a second; scores differ by at most {worst:.1e}")
    return int(worst > 1e-4)


def bm25_texts(documents: int, queries: int) -> tuple[list[str], list[str]]:
    """Debian's descriptions and titles, or made-up text of Zipf's law where they are absent."""
    if (DATA / "scale-debian").is_dir():
        rows = list(debian(documents))
        return [f"{r['title']} {r['text']}" for r in rows], [r["title"] for r in rows[:queries]]
    rng = np.random.default_rng(0)
    vocabulary = np.array([f"w{i}" for i in range(50_000)])
    draw = np.minimum(rng.zipf(1.3, (documents, 60)) - 1, len(vocabulary) - 1)
    texts = [" ".join(vocabulary[row]) for row in draw]
    return texts, [" ".join(text.split()[:6]) for text in texts[:queries]]


if __name__ == "__main__":
    sys.exit(main())

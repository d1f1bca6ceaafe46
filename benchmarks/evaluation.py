"""Retrieval evaluation against sentence-transformers' InformationRetrievalEvaluator, same vectors.

    python -m benchmarks.evaluation [--queries 10000] [--rounds 3]

Two collections: nfcorpus (test queries, binary relevance) and 64,000 package descriptions with
their titles as queries. Vectors are hashed bags of words: what is timed is retrieval and scoring,
and both sides get the same arrays from disk. Each side runs in processes of its own, alternated;
the time is of the evaluation alone (no imports), the memory the process's peak. Our side also
scans the texts for own-text hits and writes nothing; it computes nDCG@10, RR@10, R@1,5,10,100 and
AP, the other its default measures. Exit code 1 when nDCG@10 differs by more than 1e-4: scores are
summed in another order, so that near-ties may swap.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np

from benchmarks.workspace import DATA, arguments, debian, in_own_process, machine

DIMENSION = 384
MEASURES = ("nDCG@10", "RR@10", "R@1", "R@5", "R@10", "R@100", "AP")


def hashed(texts):
    """Sums of one random vector a word, at unit norm, float32 [n, 384]."""
    table = np.random.default_rng(0).normal(size=(1 << 15, DIMENSION)).astype(np.float32)
    out = np.empty((len(texts), DIMENSION), dtype=np.float32)
    for i, text in enumerate(texts):
        words = text.lower().split()[:128] or ["empty"]
        out[i] = table[[zlib.crc32(w.encode()) % len(table) for w in words]].sum(axis=0)
    return out / np.linalg.norm(out, axis=1, keepdims=True)


def prepare(name, queries, folder):
    """Write one collection's texts, judgements and vectors."""
    from embedlib.contracts import CORPUS, content_hash, write_table

    if name == "nfcorpus":
        documents = {d["_id"]: f"{d['title']} {d['text']}" for d in rows("corpus")}
        asked = {q["_id"]: q["text"] for q in rows("queries")}
        judged = {}
        for line in (DATA / "nfcorpus/qrels/test.tsv").read_text().splitlines()[1:]:
            query, document, score = line.split("\t")
            if int(score) > 0:
                judged.setdefault(query, []).append(document)
    else:
        found = list(debian())
        documents = {d["_id"]: d["text"] for d in found}
        chosen = [found[i] for i in np.linspace(0, len(found) - 1, queries).astype(int)]
        asked = {f"title of {d['_id']}": d["title"] for d in chosen}
        judged = {f"title of {d['_id']}": [d["_id"]] for d in chosen}
    documents = dict(sorted(documents.items()))
    asked = {q: asked[q] for q in sorted(judged)}
    empty = {"title": "", "source": "", "metadata": "{}"}
    fields = (
        {**empty, "doc_id": d, "text": t, "group_id": d, "content_hash": content_hash("", t)}
        for d, t in documents.items()
    )
    write_table(folder / "corpus.parquet", fields, CORPUS)
    (folder / "queries.json").write_text(json.dumps([asked, judged]))
    np.save(folder / "documents.npy", hashed(list(documents.values())))
    np.save(folder / "queries.npy", hashed(list(asked.values())))


def rows(name):
    """Rows of one of nfcorpus's files."""
    return map(json.loads, (DATA / f"nfcorpus/{name}.jsonl").read_text().splitlines())


def ours(folder):
    """One evaluation by embedlib; vectors stay on disk and are read in blocks."""
    from embedlib.contracts import Corpus
    from embedlib.evaluation.judged import JudgedSet
    from embedlib.evaluation.measures import score_run
    from embedlib.evaluation.model_on_set import DenseSystem
    from embedlib.evaluation.systems import Options, evaluate_systems

    class OnDisk:
        dimension = DIMENSION

        def blocks(self, size=16384):
            stored = np.load(folder / "documents.npy", mmap_mode="r")
            for start in range(0, len(stored), size):
                yield start, np.asarray(stored[start : start + size])

    class Given:
        def encode_queries(self, texts):
            return np.load(folder / "queries.npy")

    score_run({"q": {"d": 1.0}}, {"q": {"d": 1}}, MEASURES)  # what is imported late is imported
    asked, judged = json.loads((folder / "queries.json").read_text())
    before, start = peak_mb(), time.perf_counter()
    corpus = Corpus(folder)
    qrels = {q: dict.fromkeys(found, 1) for q, found in judged.items()}
    split = JudgedSet("human", list(asked), list(asked.values()), qrels, corpus.ids, {}, 1, {}, {})
    options = Options(MEASURES, depth=100)
    result = evaluate_systems(corpus, split, [DenseSystem("base", Given(), OnDisk())], options)
    return float(result.values["base"]["nDCG@10"].mean()), time.perf_counter() - start, before


def theirs(folder):
    """One evaluation by sentence-transformers, with a model that hands out the vectors."""
    import pyarrow.parquet as pq
    import torch
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
    from sentence_transformers.util import cos_sim

    class Given(InformationRetrievalEvaluator):
        def embed_inputs(self, model, sentences, encode_fn_name=None, **kwargs):
            if encode_fn_name == "query":
                return torch.from_numpy(np.load(folder / "queries.npy"))
            stored = np.load(folder / "documents.npy", mmap_mode="r")
            start = self.corpus.index(sentences[0]) if len(sentences) < len(self.corpus) else 0
            return torch.from_numpy(np.array(stored[start : start + len(sentences)]))

        def store_metrics_in_model_card_data(self, *args, **kwargs):
            return None

    asked, judged = json.loads((folder / "queries.json").read_text())
    before, start = peak_mb(), time.perf_counter()
    table = pq.read_table(folder / "corpus.parquet", columns=["doc_id", "text"]).to_pydict()
    evaluator = Given(
        asked,
        dict(zip(table["doc_id"], table["text"], strict=True)),
        {q: set(found) for q, found in judged.items()},
        score_functions={"cosine": cos_sim},
        precision_recall_at_k=[1, 5, 10, 100],
        write_csv=False,
    )
    return evaluator(None)["cosine_ndcg@10"], time.perf_counter() - start, before


def peak_mb():
    """Peak resident set of this process in MiB, since it was started (ru_maxrss counts its parent's)."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def compare(name, folder, rounds):
    """Alternate both sides and print medians; returns whether the figures agree."""
    sides = {"embedlib": [], "sentence-transformers": []}
    for _ in range(rounds):
        for side, results in sides.items():
            results.append(in_own_process("evaluation", "--child", side, "--folder", str(folder)))
    print(f"\n{name}")
    print(f"{'':24}{'nDCG@10':>10}{'seconds':>10}{'peak MiB':>10}{'of it imports':>15}")
    medians = {}
    for side, results in sides.items():
        medians[side] = {k: statistics.median(r[k] for r in results) for k in results[0]}
        m = medians[side]
        print(f"{side:24}{m['value']:10.6f}{m['seconds']:10.2f}{m['peak']:10.0f}{m['imports']:15.0f}")
    a, b = medians.values()
    print(
        f"embedlib: {b['seconds'] / a['seconds']:.2f} times as fast, "
        f"{a['peak'] / b['peak']:.2f} of the peak memory"
    )
    return abs(a["value"] - b["value"]) <= 1e-4


def main():
    """Prepare, run, print."""
    parser = arguments(__doc__)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sets", nargs="+", default=["nfcorpus", "scale-debian"])
    parser.add_argument("--child")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.child:
        value, seconds, before = (ours if options.child == "embedlib" else theirs)(options.folder)
        print(json.dumps({"value": value, "seconds": seconds, "peak": peak_mb(), "imports": before}))
        return 0
    print(machine("numpy", "torch", "sentence-transformers", "ir-measures", "pytrec-eval-terrier"))
    agree = True
    for name in options.sets:
        with tempfile.TemporaryDirectory() as folder:
            prepare(name, options.queries, Path(folder))
            agree &= compare(name, Path(folder), options.rounds)
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())

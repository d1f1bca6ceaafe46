"""The same release through FAISS and through each vector store: loading, refreshing, asking.

    python -m benchmarks.stores [--documents 20000] [--queries 200]

Documents of ``scale-debian``, their vectors (384 components) by a static model with random word vectors,
which takes no time. Release 1 is loaded, release 2 and 3 each change one document in fifty. A push is timed
from the command to the cut-over, verification included; a query is one dense ranking for a vector at hand,
with the store's word that nothing changed. Each store has a process of its own, PostgreSQL's server besides.
The exit code is 1 when a store that searches exactly does not give FAISS's own ten documents for each query.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.workspace import arguments, debian, encoded, machine
from embedlib.config.data import Ingest, JsonlSource
from embedlib.config.index import Index, Publish
from embedlib.config.models import Model
from embedlib.contracts import Corpus, Floats
from embedlib.errors import VerificationError
from embedlib.index.queries import sample_queries
from embedlib.index.search import Searcher
from embedlib.index.verify import Checks
from embedlib.memory import peak_memory_mb
from embedlib.models.local import load_encoder
from embedlib.stages import index, pin
from embedlib.stages.base import run_stage
from embedlib.stages.publish import publish_release
from embedlib.store import Store
from embedlib.stores.base import IndexType
from embedlib.stores.connect import CLIENTS, connect
from embedlib.stores.push import PushOptions, push_release
from embedlib.stores.searcher import StoreSearcher
from tests.postgres import postgresql

K = 10
DIMENSION = 384
#: One document in so many is changed by a refresh.
CHANGED = 50


class Measured(NamedTuple):
    """Seconds of the three pushes, the rows that each sent, milliseconds a query, the documents found, MB."""

    seconds: list[float]
    sent: list[int]
    p50: float
    p99: float
    found: list[list[str]]
    memory: float


def main() -> int:
    """Measure, print, compare; 1 where an exact store finds other documents than FAISS."""
    parser = arguments(__doc__)
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--stores", nargs="*", default=list(CLIENTS), choices=list(CLIENTS))
    options = parser.parse_args()
    print(machine())
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="stores-", dir="/tmp") as folder, ExitStack() as ends:
        root = Path(folder)
        publish_three(root, options.documents)
        faiss = alone(files, root, options.queries)
        print(f"{options.documents:,} documents, {options.queries} queries, k = {K}; FAISS has a flat index")
        heads = ("first load, s", "rows/s", "refresh, s", "rows", "next, s", "rows", "p50 ms", "p99 ms")
        print(f"{'':<16}" + "".join(f"{head:>14}" for head in (*heads, f"of {K}", "MB")))
        show("FAISS", faiss, faiss)
        for kind, how in itertools.product(options.stores, ("exact", "hnsw")):
            if find_spec(CLIENTS[kind]) is None:
                continue
            place = str(root / f"{kind}-{how}{'.db' if kind == 'milvus' else ''}")
            if kind == "postgres":
                server = ends.enter_context(postgresql(vectors=True))
                place = server.url()
            try:
                measured = alone(through, root, options.queries, kind, how, place)
            except VerificationError as refused:  # an approximate index that misses its recall goes nowhere
                print(f"{f'{kind}, {how}':<16}{refused.what}")
                continue
            show(f"{kind}, {how}", measured, faiss)
            wrong += how == "exact" and measured.found != faiss.found
    return int(wrong > 0)


def alone(measure: Any, *given: Any) -> Measured:
    """The measurement in a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        measured: Measured = pool.submit(measure, *given).result()
        return measured


def publish_three(root: Path, documents: int) -> None:
    """Releases 1 to 3 of one model; each has some documents of its own."""
    store = Store(root / "workspace")
    model = Model(name=str(static_model(root)))
    records = list(debian(documents))
    for number in (1, 2, 3):
        path = root / "documents.jsonl"  # its name is part of every row
        rows = [
            {"id": r["_id"], "title": r.get("title", ""), "text": changed(r["text"], place, number)}
            for place, r in enumerate(records)
        ]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        parts = encoded(store, Ingest(source=JsonlSource(path=path)), model)
        parts["index"] = run_stage(store, index.STAGE, Index(factory="Flat", bm25=False), **parts).ref
        publish_release(store.root, Publish(replace_documents=True), parts)


def changed(text: str, place: int, number: int) -> str:
    """The text as release ``number`` has it."""
    return f"{text} Edition {number}." if place % CHANGED == number else text


def static_model(root: Path) -> Path:
    """Random word vectors for the base model's tokens."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    base = run_stage(Store(root / "base"), pin.STAGE, Model()).ref
    torch.manual_seed(0)
    words = Tokenizer.from_file(str(next(base.path.rglob("tokenizer.json"))))
    words.no_padding()
    SentenceTransformer(modules=[StaticEmbedding(words, embedding_dim=DIMENSION)], device="cpu").save(
        str(root / "static"), create_model_card=False
    )
    return root / "static"


def query_vectors(searcher: Searcher, queries: int) -> Floats:
    """Vectors of queries, the same for every store."""
    corpus = Corpus(searcher.release.ref(searcher.root, "corpus").path)
    texts = sample_queries(None, corpus, queries, rng=np.random.default_rng(0)).texts
    return searcher.embed(texts).vectors


def asked(searcher: Searcher, vectors: Floats, seconds: list[float], sent: list[int]) -> Measured:
    """One ranking after the other; the first ten only open what is needed."""
    snapshot = searcher._snapshot
    taken, found = [], []
    for vector in (*vectors[:10], *vectors):
        started = time.perf_counter()
        hits = snapshot._dense(vector[None], K, None)
        taken.append(1e3 * (time.perf_counter() - started))
        found.append([snapshot.documents.get(int(row)).doc_id for row in hits.rows[0]])
    p50, p99 = (float(np.percentile(taken[10:], p)) for p in (50, 99))
    return Measured(seconds, sent, p50, p99, found[10:], peak_memory_mb())


def files(root: Path, queries: int) -> Measured:
    """Release 1 by its own index."""
    searcher = Searcher(root / "workspace").pinned(1)
    return asked(searcher, query_vectors(searcher, queries), [], [])


def through(root: Path, queries: int, kind: str, how: IndexType, place: str) -> Measured:
    """Release 1 by a store; then the two refreshes."""
    workspace = root / "workspace"
    store = connect(kind, place, "docs")
    checks = Checks(encoder=load_encoder(next((workspace / "artifacts" / "model").iterdir())))
    push = partial(push_release, workspace, store, "docs", PushOptions(500, how, checks))
    seconds, sent = [], []

    def timed(number: int) -> None:
        started = time.perf_counter()
        sent.append(push(number=number).sent)
        seconds.append(time.perf_counter() - started)

    timed(1)
    searcher = StoreSearcher(workspace, store)
    measured = asked(searcher, query_vectors(searcher, queries), seconds, sent)
    timed(2)
    timed(3)
    store.close()
    return measured._replace(memory=peak_memory_mb())


def show(name: str, measured: Measured, truth: Measured) -> None:
    """One line of the table."""
    rates = [""] * 6
    if measured.seconds:
        first, refresh, following = (f"{s:.1f}" for s in measured.seconds)
        rate = f"{measured.sent[0] / measured.seconds[0]:,.0f}"
        rates = [first, rate, refresh, f"{measured.sent[1]:,}", following, f"{measured.sent[2]:,}"]
    same = [len(set(a) & set(b)) for a, b in zip(measured.found, truth.found, strict=True)]
    cells = (
        *rates,
        f"{measured.p50:.2f}",
        f"{measured.p99:.2f}",
        f"{np.mean(same):.2f}",
        f"{measured.memory:,.0f}",
    )
    print(f"{name:<16}" + "".join(f"{cell:>14}" for cell in cells), flush=True)


if __name__ == "__main__":
    sys.exit(main())

"""Requests a second and latency of `embedlib serve`, beside the Searcher alone and a plain handler.

    python -m benchmarks.serve [--documents 64000] [--clients 16] [--seconds 10] [--rounds 2] [--swaps 20]

Two releases of 64,000 package descriptions (``scale-debian``) with disjoint ids and different models,
so that an answer that mixes them shows. Document vectors are made up (random, at unit norm), because
encoding them says nothing about serving; queries are encoded by all-MiniLM-L6-v2, BM25 and texts are
real. Clients are connections of a process of its own, each sending its next request when it has its
answer. Sides, by turns: ``serve``: the command; ``plain``: a FastAPI handler that calls
`Searcher.search` and encodes one query at a time; ``searcher``: threads that call it without HTTP.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from pydantic import BaseModel

from benchmarks.serve_clients import Load, apart, check, exchange, joined
from benchmarks.workspace import DATA, WORKSPACE, arguments, machine
from embedlib.artifact import ArtifactRef
from embedlib.config.data import BeirSource, Ingest
from embedlib.config.index import Index
from embedlib.config.models import Model
from embedlib.contracts import CORPUS, Corpus, Floats, write_table
from embedlib.index.release import Terms, publish, rollback
from embedlib.index.search import Searcher
from embedlib.index.verify import Checks
from embedlib.models.local import load_encoder
from embedlib.serving.server import listen
from embedlib.stages import index, ingest, pin
from embedlib.stages.base import run_stage
from embedlib.store import Recipe, Store, Work
from embedlib.vectors import VectorsInfo

ROOT = WORKSPACE.with_name(WORKSPACE.name + "-serve")
MODES: dict[str, dict[str, Any]] = {
    "dense": {"mode": "dense"},
    "hybrid": {"mode": "hybrid"},
    "filtered": {"mode": "dense", "filters": {"section": 3}},
}
PREFIXES = ("a-", "b-")
#: Queries that may wait while the overload is measured.
WAITING = 32


def main() -> int:
    """Exit code 1 when an answer is wrong, mixed or an error, or the overload is not refused and over."""
    parser = arguments(__doc__)
    parser.add_argument("--documents", type=int, default=64_000)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--swaps", type=int, default=20)
    options = parser.parse_args()
    print(machine(), flush=True)
    sides, queries = prepare(options.documents)
    shutil.rmtree(ROOT / "releases", ignore_errors=True)
    publish(ROOT, **sides[0], terms=terms(sides[0]))
    problems = same_answers(queries[:50])
    problems += speed(queries, options)
    problems += swaps(queries, options)
    problems += overload(queries, options)
    print("problems:", problems or "none")
    return 1 if problems else 0


def prepare(count: int) -> tuple[list[dict[str, ArtifactRef]], list[str]]:
    """The parts of two releases, and 2,000 queries: the descriptions' first words."""
    store = Store(ROOT)
    everything = run_stage(store, ingest.STAGE, Ingest(source=BeirSource(path=DATA / "scale-debian"))).ref
    sides = []
    for side, max_length in enumerate((256, 128)):
        options = {"count": count, "side": side}
        corpus = store.build(
            Recipe("copy", "corpus", "benchmark", options, {"corpus": everything}),
            lambda work, side=side: write_copy(everything, count, side, work),  # type: ignore[misc]
        ).ref
        model = run_stage(store, pin.STAGE, Model(max_length=max_length)).ref
        vectors = store.build(
            Recipe("random", "vectors", "benchmark", options, {"corpus": corpus, "model": model}),
            lambda work, c=corpus, m=model, side=side: write_vectors(c, m, side, work),  # type: ignore[misc]
        ).ref
        made = run_stage(store, index.STAGE, Index(), corpus=corpus, model=model, vectors=vectors).ref
        sides.append({"corpus": corpus, "model": model, "vectors": vectors, "index": made})
    texts = list(Corpus(sides[0]["corpus"].path).texts())
    chosen = np.random.default_rng(0).choice(len(texts), min(2000, len(texts)), replace=False)
    return sides, [" ".join(texts[i].split()[:8]) for i in chosen]


def write_copy(corpus: ArtifactRef, count: int, side: int, work: Work) -> dict[str, Any]:
    """The documents under ids of their own, with a field to filter by."""
    rows = (
        {
            **d._asdict(),
            "doc_id": PREFIXES[side] + d.doc_id,
            "group_id": PREFIXES[side] + d.doc_id,
            "metadata": json.dumps({"section": i % 10}),
        }
        for i, d in enumerate(Corpus(corpus.path).documents())
        if i < count
    )
    return {"rows": write_table(work.out / "corpus.parquet", rows, CORPUS)}


def write_vectors(corpus: ArtifactRef, model: ArtifactRef, side: int, work: Work) -> dict[str, Any]:
    """Random unit vectors in the place of the documents'."""
    documents = Corpus(corpus.path)
    rng = np.random.default_rng(side)
    array = rng.standard_normal((len(documents), 384), dtype=np.float32)
    array /= np.linalg.norm(array, axis=1, keepdims=True)
    (work.out / "shards").mkdir()
    np.save(work.out / "shards/00000.npy", array)
    VectorsInfo(
        dimension=384, dtype="float32", count=len(array), normalized=True, model_digest=model.digest,
        encoding={}, corpus_digest=corpus.digest, shards=["shards/00000.npy"], rows=[len(array)],
    ).write(work.out)  # fmt: skip
    ids = ({"doc_id": d.doc_id, "content_hash": d.content_hash} for d in documents.documents())
    schema = CORPUS.empty_table().select(["doc_id", "content_hash"]).schema
    write_table(work.out / "ids.parquet", ids, schema)
    return {}


def terms(parts: dict[str, ArtifactRef]) -> Terms:
    """No self-checks: the vectors are made up."""
    return Terms(checks=Checks(self_checks=0, encoder=load_encoder(parts["model"].path)))


def same_answers(queries: list[str]) -> list[str]:
    """Served answers are those of the class, documents and scores."""
    searcher, problems = Searcher(ROOT), []
    with served() as port:
        for name, mode in MODES.items():
            answer = asyncio.run(post(port, {"queries": queries, "k": 10, **mode}))
            expected = searcher.search(queries, k=10, **mode)
            for found, hits in zip(answer["results"], expected, strict=True):
                same = [h["doc_id"] for h in found["hits"]] == [h.doc_id for h in hits]
                close = np.allclose([h["score"] for h in found["hits"]], [h.score for h in hits], atol=1e-5)
                if not (same and close):
                    problems.append(f"{name}: another answer to {found['query']!r}")
    return problems


async def post(port: int, body: dict[str, Any]) -> Any:
    """One request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    status, answer, _ = await exchange(reader, writer, body)
    writer.close()
    if status != 200:
        raise RuntimeError(f"{status}: {answer}")
    return answer


def speed(queries: list[str], options: argparse.Namespace) -> list[str]:
    """All sides and modes by turns; prints a line for each."""
    found: dict[tuple[str, str], list[Load]] = {}
    sides = {"serve": served, "plain": plain}
    for _ in range(options.rounds):
        for side, start in sides.items():
            with start() as port:
                for name, mode in MODES.items():
                    apart(port, queries, mode, options.clients, 2.0)
                    loaded = apart(port, queries, mode, options.clients, options.seconds)
                    found.setdefault((side, name), []).append(loaded)
        for name, mode in MODES.items():
            loaded = threads(queries, mode, options.clients, options.seconds)
            found.setdefault(("searcher", name), []).append(loaded)
    problems = []
    for name in MODES:
        for side in (*sides, "searcher"):
            total = joined(found[side, name])
            print(total.line(f"{side} {name}"), flush=True)
            if set(total.statuses) != {200} or total.mixed:
                problems.append(f"{side} {name}: {total.statuses} {total.mixed[:3]}")
    return problems


def swaps(queries: list[str], options: argparse.Namespace) -> list[str]:
    """Load while releases are published and rolled back."""
    with served() as port:
        process = multiprocessing.get_context("spawn").Process(
            target=swap, args=(options.documents, options.swaps)
        )
        process.start()
        loads = []
        while process.is_alive() or not loads:
            loads.append(apart(port, queries, MODES["hybrid"], options.clients, 2.0))
        process.join()
    total = joined(loads)
    print(total.line(f"{options.swaps} swaps, hybrid"), flush=True)
    problems = [] if process.exitcode == 0 else ["the publisher failed"]
    if set(total.statuses) != {200} or total.mixed:
        problems.append(f"swaps: {total.statuses} {total.mixed[:3]}")
    print(f"{len(total.seconds)} answers during the swaps, {len(total.mixed)} mixed")
    return problems


def swap(documents: int, count: int) -> None:
    """Publish and roll back by turns."""
    os.nice(10)
    sides, _ = prepare(documents)
    ready = [terms(parts) for parts in sides]
    for number in range(count):
        if number % 4 == 3:
            rollback(ROOT, why="benchmark")
        else:
            publish(ROOT, **sides[1 - number % 2], terms=ready[1 - number % 2])
        time.sleep(0.5)


def overload(queries: list[str], options: argparse.Namespace) -> list[str]:
    """Ten times the clients: what does not fit the queue is refused at once, and it is over when they go."""
    problems = []
    mode = MODES["hybrid"]
    with served(f"serve.waiting={WAITING}") as port:
        before = apart(port, queries, mode, options.clients, options.seconds)
        over = apart(port, queries, mode, 10 * options.clients, options.seconds)
        after = apart(port, queries, mode, options.clients, options.seconds)
    for name, load in (("before", before), ("10 x clients", over), ("after", after)):
        print(load.line(name), flush=True)
    refused = over.statuses.get(429, 0)
    if set(over.statuses) != {200, 429} or over.retry_after != refused:
        problems.append(f"overload: {over.statuses}, {over.retry_after} with Retry-After")
    if set(after.statuses) != {200}:
        problems.append(f"after the overload: {after.statuses}")
    if np.percentile(after.seconds, 50) > 2 * np.percentile(before.seconds, 50):
        problems.append("the overload is felt after it has ended")
    return problems


@contextmanager
def served(*overrides: str) -> Iterator[int]:
    """`embedlib serve` on a free port."""
    sets = [part for override in overrides for part in ("--set", override)]
    command = [sys.executable, "-m", "embedlib.cli", "serve", "--workspace", str(ROOT), "--port", "0", *sets]
    with started(command) as port:
        yield port


@contextmanager
def plain() -> Iterator[int]:
    """The handler of ``run_plain`` on a free port."""
    with started([sys.executable, "-c", "from benchmarks.serve import run_plain; run_plain()"]) as port:
        yield port


@contextmanager
def started(command: list[str]) -> Iterator[int]:
    """A server process; its first line of output ends with its address."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        line = process.stdout.readline() if process.stdout else ""
        yield int(line.rsplit(":", 1)[1])
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


class Question(BaseModel):
    """What the plain handler takes."""

    query: str
    k: int = 10
    mode: str = "auto"
    filters: dict[str, Any] | None = None


def run_plain() -> None:
    """What one writes in ten lines: a handler for each request, in FastAPI's threads."""
    import uvicorn
    from fastapi import FastAPI

    searcher = Searcher(ROOT)
    searcher._snapshot.encoder = OneByOne(searcher._snapshot.encoder.encoder)  # type: ignore[assignment]
    app = FastAPI()

    @app.post("/search")
    def search(asked: Question) -> dict[str, Any]:
        hits = searcher.search(asked.query, k=asked.k, mode=asked.mode, filters=asked.filters)
        results = [{"query": asked.query, "hits": [hit._asdict() for hit in hits]}]
        return {"release": hits[0].release, "results": results}

    opened = listen("127.0.0.1", 0)
    print(f"http://127.0.0.1:{opened.getsockname()[1]}", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[opened])


class OneByOne:
    """An encoder behind a lock: tokenizers must not be called by two threads at once."""

    def __init__(self, encoder: Any) -> None:
        self.encoder, self.lock = encoder, threading.Lock()

    def encode(self, texts: list[str]) -> Floats:
        """Query vectors."""
        with self.lock:
            vectors: Floats = self.encoder.encode_queries(texts)
            return vectors


def threads(queries: list[str], mode: dict[str, Any], clients: int, seconds: float) -> Load:
    """Threads that call the class."""
    searcher = Searcher(ROOT)
    searcher.search(queries[:4], k=10, **mode)
    load = Load([], {200: 0}, [], 0, 0.0)
    begun = time.perf_counter()

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        while (started := time.perf_counter()) < begun + seconds:
            hits = searcher.search(queries[int(rng.integers(len(queries)))], k=10, **mode)
            load.seconds.append(time.perf_counter() - started)
            check(load.mixed, [hit.doc_id for hit in hits])

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(clients)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return load._replace(statuses={200: len(load.seconds)}, elapsed=time.perf_counter() - begun)


if __name__ == "__main__":
    sys.exit(main())

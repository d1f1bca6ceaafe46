"""What ways to search one corpus cost on this machine: latency, memory, size, and to encode it anew."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from embedlib.contracts import Corpus, Rows
from embedlib.corpus.profile import sample_rows
from embedlib.evaluation.choice import Alternative, latencies
from embedlib.evaluation.significance import Interval
from embedlib.http.usage import TokenUsage
from embedlib.index.build import build_index
from embedlib.index.dense import DenseIndex
from embedlib.index.info import SearchSettings
from embedlib.models.api import ApiEncoder
from embedlib.models.api_protocols import estimate_tokens
from embedlib.models.efficiency import compare_costs, folder_mb, weights_mb
from embedlib.models.local import LocalEncoder
from embedlib.models.opening import open_folder
from embedlib.models.resolve import resolve_model
from embedlib.retrieval.bm25 import BM25Index, build_bm25
from embedlib.retrieval.fusion import Rankers
from embedlib.retrieval.hits import Hits
from embedlib.retrieval.lexical import lexical_scores
from embedlib.retrieval.moments import vector_moments
from embedlib.retrieval.plan import SearchPlan
from embedlib.retrieval.rerank import PairScorer, rerank_first
from embedlib.retrieval.sparse import SparseIndex
from embedlib.vectors import Vectors

#: Of larger corpora nothing is timed: they would not be searched exactly.
MOST_TIMED = 200_000
#: Seconds for the latencies of all systems together.
SECONDS = 5.0
#: Documents that are encoded to reckon how long all of them take.
SAMPLE = 32
HITS = 10
#: Before the name of a system that a given cross-encoder re-ranks, and of one that a release's own does.
RERANK, TWO_STAGE = "rerank:", "two-stage:"


@dataclass(frozen=True)
class ServedModel:
    """A model's folder with the corpus's vectors, and how it is fused with BM25."""

    folder: Path
    vectors: Vectors
    plan: SearchPlan

    @cached_property
    def encoder(self) -> LocalEncoder | ApiEncoder:
        """The model as a release loads it."""
        return open_folder(self.folder, "auto")

    @cached_property
    def index(self) -> DenseIndex:
        """Exact search in memory."""
        dimension = self.vectors.dimension
        flat = build_index("Flat", self.vectors, dimension, rng=np.random.default_rng(0))
        return DenseIndex(flat, self.vectors, SearchSettings())

    @property
    def vectors_mb(self) -> float:
        """MiB of the vectors as they are searched."""
        return 4 * len(self.vectors) * self.vectors.dimension / (1 << 20)


class TimedReranker(NamedTuple):
    """A cross-encoder, the hits that it reads, its weight (None: it alone counts), MiB of its folder."""

    score: PairScorer
    depth: int
    weight: float | None
    size_mb: float


class Machine:
    """Measures systems as an evaluation names them: ``bm25``, a model, ``hybrid:MODEL``, ``rerank:SYSTEM``.

    ``two-stage:SYSTEM`` is a system re-ranked as a release serves it.

    Args:
        corpus: The documents.
        models: The models by name.
        rerankers: Of the re-ranked systems, by the prefix of their names.
        sparse: Where a plan gives it a weight.
        scratch: Folder for files that are only weighed.
    """

    def __init__(
        self,
        corpus: Corpus,
        models: Mapping[str, ServedModel],
        rerankers: Mapping[str, TimedReranker],
        scratch: Path,
        sparse: SparseIndex | None = None,
    ) -> None:
        self.corpus, self.models, self.rerankers, self.scratch = corpus, models, rerankers, scratch
        self.sparse = sparse

    def measure(self, qualities: Mapping[str, Interval], queries: Sequence[str]) -> list[Alternative]:
        """Every system with its costs."""
        times: dict[str, tuple[float, float]] = {}
        if len(self.corpus) <= MOST_TIMED:
            answers = {system: self._answer(system, HITS) for system in qualities}
            times = latencies(answers, queries, seconds=SECONDS)
        return [
            self._alternative(system, quality, times.get(system)) for system, quality in qualities.items()
        ]

    def _alternative(self, system: str, quality: Interval, times: tuple[float, float] | None) -> Alternative:
        memory = disk = dollars = 0.0
        seconds: float | None = 0.0
        if model := self.models.get(model_of(system)):
            memory = weights_mb(model.encoder) + model.vectors_mb
            disk = folder_mb(model.folder) + model.vectors_mb
            seconds, dollars = self._reencoding[model_of(system)]
        if uses_bm25(system):
            size, built = self._postings
            memory, disk = memory + size, disk + size
            seconds = None if seconds is None else seconds + built
        if model and first_stage(system).startswith("hybrid:") and model.plan.sparse_weight:
            memory, disk = memory + self._sparse_mb, disk + self._sparse_mb
            seconds = None if seconds is None else seconds + self._sparse_s
        if reranker := self._reranker_of(system):
            memory, disk = memory + reranker.size_mb, disk + reranker.size_mb
        p50, p95 = times or (None, None)
        return Alternative(system, quality, p50, p95, memory, disk, seconds, dollars)

    def _answer(self, system: str, k: int) -> Callable[[str], Hits]:
        """How a system answers a query's text with k hits."""
        if reranker := self._reranker_of(system):
            first = self._answer(first_stage(system), max(k, reranker.depth))
            score, depth, weight, _ = reranker
            return lambda query: rerank_first(score, [query], first(query), self._texts_of, depth, weight)
        bm25 = self._bm25 if uses_bm25(system) else None
        if system == "bm25" and bm25 is not None:
            return lambda query: bm25.search([query], k)
        model = self.models[model_of(system)]
        index, encode = model.index, model.encoder.encode_queries
        if bm25 is None:
            return lambda query: index.search(encode([query]), k)
        rankers = Rankers(
            dense=index.search,
            lexical=partial(lexical_scores, bm25),
            vectors_of=index.vectors.take,
            moments=vector_moments(model.vectors.blocks()),
            sparse=partial(lexical_scores, self.sparse) if self.sparse is not None else None,
        )
        return lambda query: rankers.search([query], encode([query]), k, model.plan)

    def _reranker_of(self, system: str) -> TimedReranker | None:
        return self.rerankers.get(system.removesuffix(first_stage(system)))

    @cached_property
    def _reencoding(self) -> dict[str, tuple[float | None, float]]:
        """Seconds (None: not in our hands) and US dollars to encode all documents, by model."""
        sample = self._sample
        encoders = {name: model.encoder for name, model in self.models.items()}
        local = {
            name: (encoder, self.models[name].folder)
            for name, encoder in encoders.items()
            if isinstance(encoder, LocalEncoder)
        }
        found: dict[str, tuple[float | None, float]] = {
            name: (len(self.corpus) / cost.texts_per_s, 0.0)
            for name, cost in compare_costs(local, sample, rounds=2).items()
        }
        tokens = sum(map(estimate_tokens, sample)) * len(self.corpus) // len(sample)
        for name, encoder in encoders.items():
            if isinstance(encoder, ApiEncoder):
                price = encoder.client.settings.price
                found[name] = (None, price.cost(TokenUsage(input_tokens=tokens)) if price else 0.0)
        return found

    @cached_property
    def _built(self) -> tuple[BM25Index, float]:
        started = time.perf_counter()
        return build_bm25(self.corpus.texts()), time.perf_counter() - started

    @property
    def _bm25(self) -> BM25Index:
        return self._built[0]

    @cached_property
    def _postings(self) -> tuple[float, float]:
        """MiB of BM25's files, and the seconds that the index took."""
        index, _ = self._built
        index.save(self.scratch / "bm25")
        return folder_mb(self.scratch / "bm25"), self._built[1]

    @cached_property
    def _sparse_mb(self) -> float:
        """MiB of the sparse encoder's files and of the corpus by it."""
        if self.sparse is None:
            return 0.0
        matrix = self.sparse.matrix
        size = matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes
        return float(size) / (1 << 20) + folder_mb(resolve_model(self.sparse.encoder.name))

    @cached_property
    def _sparse_s(self) -> float:
        """Seconds to encode all documents by the sparse encoder."""
        if self.sparse is None:
            return 0.0
        self.sparse.encoder.encode_documents(self._sample)
        started = time.perf_counter()
        self.sparse.encoder.encode_documents(self._sample)
        return (time.perf_counter() - started) * len(self.corpus) / len(self._sample)

    @cached_property
    def _sample(self) -> list[str]:
        return self.corpus.texts_at(sample_rows(len(self.corpus), SAMPLE))

    @cached_property
    def _texts(self) -> list[str]:
        return list(self.corpus.texts())

    def _texts_of(self, rows: Rows) -> list[str]:
        return [self._texts[row] for row in rows]


def first_stage(system: str) -> str:
    """The system whose hits are re-ranked; a system that is not re-ranked itself."""
    return system.removeprefix(RERANK).removeprefix(TWO_STAGE)


def model_of(system: str) -> str:
    """The model that a system encodes queries with; ``bm25`` where there is none."""
    return first_stage(system).removeprefix("hybrid:")


def uses_bm25(system: str) -> bool:
    """Whether a system asks BM25."""
    return first_stage(system) != model_of(system) or model_of(system) == "bm25"

"""From vectors to an index that is proven: choose a type, build it, tune it, keep the figures."""

from __future__ import annotations

import logging
import time
from typing import Any, NamedTuple

import numpy as np

from embedlib.contracts import Floats, Rows
from embedlib.errors import UserError
from embedlib.index.build import build_index, checked_blocks
from embedlib.index.choose import BINARY, Demands, IndexCandidate, candidates, describe
from embedlib.index.dense import DenseIndex, faiss_threads
from embedlib.index.tune import Tuned, latency_ms, tune
from embedlib.progress import Progress, silent
from embedlib.retrieval.dense import exact_search
from embedlib.vectors import Vectors

logger = logging.getLogger(__name__)


class SelectedIndex(NamedTuple):
    """A tuned index: the FAISS object, what it is, and what was measured."""

    index: Any
    factory: str
    reason: str
    tuned: Tuned
    k: int
    latency_ms: float
    build_s: float


def select_index(
    vectors: Vectors,
    queries: Floats,
    demands: Demands,
    *,
    rng: np.random.Generator,
    progress: Progress = silent,
) -> SelectedIndex:
    """Build the first fitting index type that meets recall and latency; the best one when none does.

    Args:
        vectors: What is indexed.
        queries: float32 [q, d]: real queries that recall is measured with.
        demands: Type and limits.
        rng: Randomness of the training sample.
        progress: Progress callback: vectors added.

    Raises:
        UserError: A wrong factory string, too few vectors to train it, or too small a memory budget.
        DataError: An unusable vector.
    """
    dimension = _dimension(vectors, demands)
    truth = exact_search(queries, lambda: checked_blocks(vectors), min(demands.recall_k, len(vectors))).rows
    tried: list[tuple[IndexCandidate, str]] = []
    best: SelectedIndex | None = None
    for candidate in _candidates(len(vectors), dimension, demands):
        made = _attempt(candidate, vectors, demands, queries, truth, rng=rng, progress=progress)
        failure = _failure(made, demands)
        tried.append((candidate, failure))
        if not failure:
            return made._replace(reason=describe(tried))
        logger.info("%s %s", candidate.factory, failure)
        if best is None or made.tuned.recall > best.tuned.recall:
            best = made._replace(reason=f"the best of those tried; it {failure}")
        del made  # two indexes at most in memory
    if best is None:
        raise UserError("no index type was tried", where="index.factory", expected="at least one candidate")
    logger.warning("no index type met every demand: %s, %s", best.factory, best.reason)
    return best


def _candidates(count: int, dimension: int, demands: Demands) -> list[IndexCandidate]:
    if demands.factory == "auto":
        return candidates(count, dimension, demands)
    factory = BINARY if demands.factory == "binary" else demands.factory
    return [IndexCandidate(factory, 0.0, "asked for")]


def _attempt(
    candidate: IndexCandidate,
    vectors: Vectors,
    demands: Demands,
    queries: Floats,
    truth: Rows,
    *,
    rng: np.random.Generator,
    progress: Progress,
) -> SelectedIndex:
    started = time.perf_counter()
    with faiss_threads(demands.threads):
        index = build_index(
            candidate.factory, vectors, _dimension(vectors, demands), rng=rng, progress=progress
        )
    build_s = time.perf_counter() - started
    tuned = tune(index, vectors, queries, truth, target=demands.recall_target)
    search = DenseIndex(index, vectors, tuned.settings)
    took = latency_ms(search, queries, truth.shape[1])
    return SelectedIndex(index, candidate.factory, candidate.reason, tuned, truth.shape[1], took, build_s)


def _failure(made: SelectedIndex, demands: Demands) -> str:
    """Why an index does not do; empty when it does."""
    if made.tuned.recall < demands.recall_target:
        return f"reaches recall@{made.k} {made.tuned.recall:.3f}, below {demands.recall_target:g}"
    limit = demands.latency_ms
    if limit is not None and made.latency_ms > limit:
        return f"takes more than {limit:g} ms a query"
    return ""


def _dimension(vectors: Vectors, demands: Demands) -> int:
    dimension = demands.dimension or vectors.dimension
    if dimension > vectors.dimension:
        raise UserError(
            "the index cannot have more components than the vectors",
            where="index.dimension",
            expected=f"at most {vectors.dimension}",
            found=str(dimension),
            remedy="leave index.dimension empty to index all components",
        )
    return dimension

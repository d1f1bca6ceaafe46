"""Models side by side on the user's own data: quality with intervals, speed, memory, cost."""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from embedlib.contracts import Corpus, Floats, Rows
from embedlib.errors import UserError
from embedlib.evaluation.compare import Comparison, compare, means
from embedlib.evaluation.judged import JudgedSet
from embedlib.evaluation.model_on_set import DenseSystem
from embedlib.evaluation.significance import Interval
from embedlib.evaluation.systems import Options, Values, evaluate_systems
from embedlib.memory import peak_memory_mb, reset_peak_memory
from embedlib.models.api_protocols import is_api_spec
from embedlib.models.efficiency import Efficiency, efficiency
from embedlib.models.encoder import Encoder
from embedlib.models.opening import open_encoder
from embedlib.progress import Progress, silent

#: Documents encoded at a time: vectors go to a file, so that memory does not grow with the corpus.
WINDOW = 2048
#: Documents on which calls of each size are timed.
TIMED = 256
MEASURES = ("nDCG@10", "R@10", "RR@10")
BATCH_SIZES = (1, 32)


@dataclass(frozen=True)
class ModelRow:
    """One model's figures.

    Args:
        model: Its name; ``bm25`` for the lexical baseline, which has quality figures only.
        quality: Mean of each measure with its interval.
        dimension: Components a vector.
        documents_per_s: Over the whole corpus.
        tokens_per_s: Likewise; None when the encoder does not count tokens.
        peak_memory_mb: Highest resident memory of this process while it was in use, in MiB.
        cost: US dollars spent on it; None for a model that runs here.
        efficiency: Calls of single sizes; None for BM25, and behind an API, where they cost money.
    """

    model: str
    quality: dict[str, Interval]
    dimension: int | None = None
    documents_per_s: float | None = None
    tokens_per_s: float | None = None
    peak_memory_mb: float | None = None
    cost: float | None = None
    efficiency: Efficiency | None = None


@dataclass(frozen=True)
class ModelComparison:
    """What ``compare_models`` found: a row a model, and each against the first."""

    rows: list[ModelRow]
    comparisons: list[Comparison]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        rows = [
            {**asdict(row), "quality": {m: i._asdict() for m, i in row.quality.items()}} for row in self.rows
        ]
        return {"models": rows, "comparisons": [c.as_json() for c in self.comparisons]}


@dataclass(frozen=True)
class Trial:
    """What models are measured on.

    Args:
        corpus: The documents.
        judged: The queries.
        measures: ir-measures names.
        seconds: Time for the calls of each size.
    """

    corpus: Corpus
    judged: JudgedSet
    measures: Sequence[str] = MEASURES
    seconds: float = 1.0


class FileVectors:
    """Vectors in a file, read in blocks.

    Args:
        matrix: Memory-mapped float32 [n, d].
    """

    def __init__(self, matrix: Floats) -> None:
        self.matrix = matrix

    @property
    def dimension(self) -> int:
        """Components a vector."""
        return int(self.matrix.shape[1])

    def blocks(self, rows: int = 16384) -> Iterator[tuple[int, Floats]]:
        """(first row, float32 [<=rows, d]) in row order."""
        for start in range(0, len(self.matrix), rows):
            yield start, np.asarray(self.matrix[start : start + rows])

    def take(self, rows: Rows) -> Floats:
        """The vectors at rows [n], float32 [n, d]."""
        return np.asarray(self.matrix[rows])


def compare_models(
    names: Sequence[str],
    trial: Trial,
    *,
    rng: np.random.Generator,
    open_model: Callable[[str], Encoder] = open_encoder,
    draws: int = 10_000,
    progress: Progress = silent,
) -> ModelComparison:
    """Measure models on a corpus and its judged queries, one in memory at a time, beside BM25.

    Args:
        names: Models, local or behind an API; the others and BM25 are compared with the first.
        trial: Documents, queries and measures.
        rng: Source of randomness for the intervals.
        open_model: Opens an encoder by name.
        draws: Resamples of intervals and tests.
        progress: Told of documents encoded.

    Raises:
        UserError: No model, or one named twice.
        ModelError: A model does not exist.
    """
    if not names or len(set(names)) != len(names):
        raise UserError(
            "nothing to compare",
            expected="at least one model, each named once",
            found=", ".join(names) or "none",
        )
    values: dict[str, Values] = {}
    costs: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="embedlib-compare-") as folder:
        for name in names:
            values[name], costs[name] = _measure(name, open_model, trial, Path(folder), progress)
    lexical = Options(measures=trial.measures, hybrid=False)
    values |= evaluate_systems(trial.corpus, trial.judged, [], lexical, progress=progress).values
    table = means(values, trial.measures, rng=rng, draws=draws)
    rows = [ModelRow(name, table[name], **costs.get(name, {})) for name in values]
    pairs = [(name, names[0]) for name in values if name != names[0]]
    found = compare(values, pairs, trial.measures, dataset=trial.judged.name, rng=rng, draws=draws)
    return ModelComparison(rows, found)


def _measure(
    name: str, open_model: Callable[[str], Encoder], trial: Trial, folder: Path, progress: Progress
) -> tuple[Values, dict[str, Any]]:
    """One model's per-query values, and what it cost; it is forgotten before the next is opened."""
    reset_peak_memory()
    encoder = open_model(name)
    started, tokens = time.perf_counter(), getattr(encoder, "tokens", None)
    vectors = FileVectors(_encode(encoder, trial.corpus, folder / "vectors.npy", progress))
    elapsed = max(time.perf_counter() - started, 1e-9)
    rate = None if tokens is None else (encoder.tokens - tokens) / elapsed  # type: ignore[attr-defined]
    plain = Options(measures=trial.measures, bm25=False, hybrid=False)
    found = evaluate_systems(trial.corpus, trial.judged, [DenseSystem(name, encoder, vectors)], plain)
    figures = {
        "dimension": vectors.dimension,
        "documents_per_s": len(trial.corpus) / elapsed,
        "tokens_per_s": rate,
        "peak_memory_mb": peak_memory_mb(),
        "cost": getattr(encoder, "cost", None),
        "efficiency": None if is_api_spec(name) else _timed(encoder, trial),
    }
    if close := getattr(encoder, "close", None):
        close()
    del encoder
    gc.collect()
    return found.values[name], figures


def _timed(encoder: Encoder, trial: Trial) -> Efficiency:
    sample = list(islice(trial.corpus.texts(), TIMED))
    return efficiency(encoder, sample, BATCH_SIZES, seconds=trial.seconds)


def _encode(encoder: Encoder, corpus: Corpus, path: Path, progress: Progress) -> Floats:
    """The corpus's vectors in a file, float32 [n, d]."""
    out: Floats | None = None
    done = 0
    stream = corpus.texts()
    while texts := list(islice(stream, WINDOW)):
        vectors = encoder.encode_documents(texts)
        if out is None:
            shape = (len(corpus), vectors.shape[1])
            out = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
        out[done : done + len(vectors)] = vectors
        done += len(vectors)
        progress(done, len(corpus), f"encode with {encoder.name}")
    if out is None:
        raise UserError("the corpus is empty", where=str(corpus.path), remedy="ingest documents first")
    return out

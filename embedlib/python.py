"""The front door for Python: models measured and negatives mined over plain lists, a lifecycle run."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from embedlib.contracts import Floats, Rows
from embedlib.errors import DataError
from embedlib.evaluation.compare import Comparison, compare, means
from embedlib.evaluation.measures import hits_to_run, score_run
from embedlib.evaluation.significance import Interval
from embedlib.evaluation.statistics import Resampling
from embedlib.mining.known_positives import KnownPositives
from embedlib.mining.miner import Sources
from embedlib.mining.miner import mine as mine_block
from embedlib.mining.options import Rules, Thresholds
from embedlib.models.encoder import Encoder
from embedlib.models.opening import open_encoder
from embedlib.pairs.filters import mean_cosine
from embedlib.retrieval.bm25 import build_bm25
from embedlib.retrieval.dense import block_of, exact_search
from embedlib.retrieval.moments import vector_moments

if TYPE_CHECKING:
    from embedlib.config.root import Config

logger = logging.getLogger(__name__)

DEFAULT_MODEL = "all-MiniLM-L6-v2"
#: Queries mined at a time.
QUERY_BLOCK = 512


class Evaluation(NamedTuple):
    """Models side by side on the same queries.

    Args:
        means: Mean of each measure with its interval, by model.
        comparisons: Each later model against the first, with intervals and p-values.
        values: Each query's value, by model and measure.
    """

    means: dict[str, dict[str, Interval]]
    comparisons: list[Comparison]
    values: dict[str, dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]]


def evaluate(
    models: str | Encoder | list[str | Encoder] | tuple[str | Encoder, ...],
    documents: Sequence[str],
    queries: Sequence[str],
    relevant: Sequence[int | Sequence[int]],
    *,
    measures: Sequence[str] = ("nDCG@10", "RR@10", "R@10"),
    bm25: bool = False,
    seed: int = 0,
) -> Evaluation:
    """Measure models on judged queries, in parity with trec_eval.

    Args:
        models: One or several, each a name, a folder or an open encoder; the first is the baseline.
        documents: Texts.
        queries: Texts.
        relevant: For each query the position, or positions, of the documents that answer it.
        measures: Names that ir-measures knows.
        bm25: Measure BM25 too.
        seed: Of the resamples behind intervals and p-values.

    Raises:
        DataError: Nothing to measure, an empty text, or a position that is not there.
        ModelError: A model cannot be opened.

    Examples:
        >>> found = evaluate(
        ...     "all-MiniLM-L6-v2",
        ...     documents=["Cats purr.", "Rust compiles.", "Bread rises."],
        ...     queries=["the sound of a kitten", "baking"],
        ...     relevant=[0, [2]],
        ... )
        >>> found.means["all-MiniLM-L6-v2"]["nDCG@10"].mean
        1.0
    """
    given = list(models) if isinstance(models, list | tuple) else [models]
    documents, queries = list(documents), list(queries)  # columns of pandas and arrays are given, too
    qrels = _qrels(documents, queries, relevant)
    ids = [str(row) for row in range(len(documents))]
    names = [f"query {i}" for i in range(len(queries))]
    found: dict[str, dict[str, Any]] = {}
    for model in given:
        encoder = open_encoder(model) if isinstance(model, str) else model
        vectors = encoder.encode_documents(documents)
        hits = exact_search(encoder.encode_queries(queries), block_of(vectors), min(1000, len(ids)))
        found[_free_name(encoder.name, found)] = score_run(hits_to_run(names, hits, ids), qrels, measures)
    if bm25:
        hits = build_bm25(documents).search(queries, min(1000, len(ids)))
        found["bm25"] = score_run(hits_to_run(names, hits, ids), qrels, measures)
    values = {
        name: {m: np.array([scores[m][q] for q in names]) for m in measures} for name, scores in found.items()
    }
    first, *others = values
    pairs = [(other, first) for other in others]
    resampling = Resampling(np.random.default_rng(seed))
    table = means(values, measures, resampling)
    return Evaluation(table, compare(values, pairs, measures, resampling, dataset="queries"), values)


def mine(
    pairs: Sequence[tuple[str, str]],
    documents: Sequence[str] | None = None,
    *,
    model: str | Encoder = DEFAULT_MODEL,
    negatives: int = 5,
    margin: float = 0.05,
    bm25: bool = True,
) -> list[dict[str, str]]:
    """Hard negatives for training pairs: what a model, and BM25, take for an answer although it is none.

    A candidate that scores above (1 - margin) of the query's lowest positive is taken for an answer
    that nobody has labelled, and is left out (NV-Retriever, arXiv 2407.15831), as is one that repeats
    a positive. Pairs that keep fewer than ``negatives`` candidates are left out too.

    Args:
        pairs: (query, document that answers it); a query may have several.
        documents: What negatives are taken from; the pairs' own documents unless given.
        model: Name, folder or open encoder.
        negatives: How many a pair, hardest first.
        margin: How far below the positive a negative has to score, as a share of its score.
        bm25: Let BM25 propose candidates too.

    Returns:
        Rows with ``query``, ``positive``, ``negative_1``, …: ``datasets.Dataset.from_list`` makes them
        what sentence-transformers' trainer takes.

    Raises:
        DataError: No pair, or an empty text.

    Examples:
        >>> rows = mine(
        ...     [("capital of France", "Paris is the capital of France.")],
        ...     ["Lyon is a city of France.", "Sheep eat grass."],
        ...     negatives=1,
        ... )
        >>> rows[0]["negative_1"]
        'Lyon is a city of France.'
    """
    pairs = list(pairs)
    if not pairs:
        raise DataError("there is no pair to mine for", where="pairs", expected="(query, document)")
    given = () if documents is None else documents
    texts = list(dict.fromkeys([*given, *(positive for _, positive in pairs)]))
    row_of = {text: row for row, text in enumerate(texts)}
    encoder = open_encoder(model) if isinstance(model, str) else model
    vectors = encoder.encode_documents(texts)
    found = _negatives(pairs, row_of, encoder, _sources(texts, vectors, bm25), margin)
    rows: list[dict[str, str]] = []
    for (query, positive), hardest in zip(pairs, found, strict=True):
        if len(hardest) >= negatives:
            named = {f"negative_{n}": texts[row] for n, row in enumerate(hardest[:negatives], start=1)}
            rows.append({"query": query, "positive": positive, **named})
    logger.info("%d of %d pairs have %d negatives", len(rows), len(pairs), negatives)
    return rows


def _sources(texts: Sequence[str], vectors: Floats, bm25: bool) -> Sources:
    blocks = block_of(vectors)
    return Sources(
        blocks=blocks,
        vectors_of=lambda rows: vectors[rows],
        classes=np.arange(len(texts)),
        bm25=build_bm25(texts) if bm25 else None,
        moments=vector_moments(blocks()) if bm25 else None,
        background=mean_cosine(vectors[:: max(1, len(vectors) // 1000)]),
    )


def _negatives(
    pairs: Sequence[tuple[str, str]],
    row_of: Mapping[str, int],
    encoder: Encoder,
    sources: Sources,
    margin: float,
) -> Iterator[Rows]:
    """The rows that may be negatives of each pair, hardest first."""
    rules = Rules(
        miners=("dense", "bm25") if sources.bm25 else ("dense",),
        depth=min(100, len(sources.classes)),
        thresholds=Thresholds(relative_margin=margin),
    )
    known = KnownPositives()
    for query, positive in pairs:
        known.add(query, [row_of[positive]])
    for start in range(0, len(pairs), QUERY_BLOCK):
        queries = [query for query, _ in pairs[start : start + QUERY_BLOCK]]
        mined = mine_block(queries, encoder.encode_queries(queries), known.of(queries), sources, rules)
        yield from (rows[keep] for rows, keep in zip(mined.candidates.rows, mined.keep, strict=True))


def run(data: str | Path | Config, workspace: str | Path = "workspace", **options: Any) -> Any:
    """Tune a model on documents, prove it, and publish it with its index: the whole life cycle.

    Args:
        data: A folder, a JSONL, CSV or Parquet file, a BEIR folder; or a configuration from
            ``load_config``, which says the rest too.
        workspace: Folder of artifacts and releases.
        **options: Dotted options with a double underscore for the dot: ``train__epochs=1``.

    Returns:
        The outcome: ``verdict``, ``reasons``, ``release``, ``report``.

    Raises:
        ConfigError: An option is unknown or out of bounds.
        EmbedlibError: Whatever stopped the run.
    """
    from embedlib.cli.app import start_flow
    from embedlib.config.root import Config, load_config

    if isinstance(data, Config):
        if options:
            raise DataError(
                "options beside a configuration", found=", ".join(options), remedy="give them to load_config"
            )
        return start_flow("lifecycle", config=data)[0]
    values: dict[str, Any] = {
        "workspace": str(workspace),
        "ingest": {"source": {"type": "auto", "path": str(data)}},
    }
    for name, value in options.items():
        *sections, option = name.split("__")
        place = values
        for section in sections:
            place = place.setdefault(section, {})
        place[option] = value
    return start_flow("lifecycle", config=load_config(values=values))[0]


def _qrels(
    documents: Sequence[str], queries: Sequence[str], relevant: Sequence[int | Sequence[int]]
) -> dict[str, dict[str, int]]:
    if not queries or len(queries) != len(relevant):
        raise DataError(
            "each query needs the documents that answer it",
            where="relevant",
            expected=f"{len(queries)} entries, at least one",
            found=str(len(relevant)),
        )
    qrels: dict[str, dict[str, int]] = {}
    for i, positions in enumerate(relevant):
        rows = [int(positions)] if isinstance(positions, int | np.integer) else [int(p) for p in positions]
        if not rows or not all(0 <= row < len(documents) for row in rows):
            raise DataError(
                f"query {i} names no document that is there",
                where=f"relevant[{i}]",
                expected=f"positions from 0 to {len(documents) - 1}",
                found=str(rows),
            )
        qrels[f"query {i}"] = {str(row): 1 for row in rows}
    return qrels


def _free_name(name: str, taken: Mapping[str, object]) -> str:
    """A model's name, numbered where two models have the same."""
    count = sum(1 for other in taken if other == name or other.startswith(f"{name} ("))
    return f"{name} ({count + 1})" if count else name

"""Retrieve with each system and score its hits, a block of queries at a time.

Memory: a system's hits are two arrays [q, k]; corpora are read in blocks; runs exist for one
block of queries at a time. (Letters: q queries, n rows, d components, k hits a query.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from embedlib.contracts import Corpus, Floats, Rows, document_text
from embedlib.evaluation.judged import JudgedSet, substituted
from embedlib.evaluation.measures import Run, hits_to_run, own_rows, score_run
from embedlib.evaluation.runs import write_run
from embedlib.models.encoder import Encoder
from embedlib.progress import Progress, silent
from embedlib.retrieval.bm25 import build_bm25
from embedlib.retrieval.dense import exact_search
from embedlib.retrieval.fusion import reciprocal_rank_fusion
from embedlib.retrieval.hits import NO_ROW, Hits
from embedlib.retrieval.rerank import PairScorer, rerank

#: Queries whose run is held as dictionaries at a time.
QUERY_BLOCK = 256

Values = dict[str, npt.NDArray[np.float64]]


class BlockVectors(Protocol):
    """Document vectors in row order, as ``contracts.Vectors`` offers them."""

    @property
    def dimension(self) -> int:
        """Components a vector."""
        ...

    def blocks(self) -> Iterator[tuple[int, Floats]]:
        """(first row, float32 [b, d]) in row order."""
        ...


@dataclass(frozen=True)
class DenseSystem:
    """A model under a name, with the corpus's vectors that it made.

    Args:
        name: ``base``, ``candidate``, ``incumbent`` or any other.
        encoder: Encodes the queries (and the withheld texts) of a judged set.
        vectors: The corpus's vectors.
        dimensions: Shorter vectors (Matryoshka) to evaluate as systems ``name@dimension``.
    """

    name: str
    encoder: Encoder
    vectors: BlockVectors
    dimensions: tuple[int, ...] = ()


@dataclass(frozen=True)
class Options:
    """What is retrieved and measured beside the dense systems themselves.

    Args:
        measures: ir-measures names.
        depth: Documents a query.
        bm25: Evaluate BM25.
        hybrid: Fuse BM25 with each dense system.
        reranker: Scores (query, text) pairs; every system is then re-ranked too.
        rerank_depth: Hits a query that are re-ranked.
        runs: Other systems' runs by name.
        folder: Where TREC run files are written; nowhere when None.
        split: Name of the split, for the tables.
    """

    measures: Sequence[str]
    depth: int = 100
    bm25: bool = True
    hybrid: bool = True
    reranker: PairScorer | None = None
    rerank_depth: int = 100
    runs: Mapping[str, Run] = field(default_factory=dict)
    folder: Path | None = None
    split: str = "test"


@dataclass
class Evaluated:
    """Scores of every system on one judged set.

    Args:
        judged: The set.
        values: ``values[system][measure]``, in the order of ``judged.query_ids``, [q].
        hits: Hits of the dense systems, own documents taken out, [q, k].
    """

    judged: JudgedSet
    values: dict[str, Values] = field(default_factory=dict)
    hits: dict[str, Hits] = field(default_factory=dict)

    def mean(self, system: str, measure: str) -> float:
        """Mean over the set's queries."""
        return float(self.values[system][measure].mean())


def evaluate_systems(
    corpus: Corpus,
    judged: JudgedSet,
    systems: Sequence[DenseSystem],
    options: Options,
    *,
    progress: Progress = silent,
) -> Evaluated:
    """Retrieve and score with every system, each query's own document taken out.

    Args:
        corpus: The corpus artifact.
        judged: Queries of one kind.
        systems: Dense systems.
        options: What else, how deep, by which measures.
        progress: Told of systems done.

    Returns:
        Scores and hits: the dense systems first, then BM25, hybrids, re-ranked, runs.
    """
    result = Evaluated(judged)
    own = _own(corpus, judged)
    reach = judged.reach(options.depth) + max((len(r) for r in own.values()), default=0)
    reach = min(reach, len(judged.labels))
    for done, (name, hits) in enumerate(_retrieved(corpus, judged, systems, options, reach, own), 1):
        result.values[name] = score_hits(judged, hits, options, name)
        if name in {s.name for s in systems}:
            result.hits[name] = hits
        progress(done, None, f"systems on {judged.name}")
    for name, run in options.runs.items():
        result.values[name] = score_given(judged, run, options, name)
    return result


def score_hits(judged: JudgedSet, hits: Hits, options: Options, name: str) -> Values:
    """Per-query values of hits [q, k]; appends to ``name``'s TREC run file where one is wanted."""

    def block(ids: list[str], start: int) -> Run:
        part = Hits(hits.rows[start : start + len(ids)], hits.scores[start : start + len(ids)])
        return hits_to_run(ids, part, judged.labels, depth=options.depth)

    return _score_blocks(judged, options, name, block)


def score_given(judged: JudgedSet, run: Run, options: Options, name: str) -> Values:
    """Per-query values of a run that was read from a file."""

    def block(ids: list[str], start: int) -> Run:
        return {q: run.get(q, {}) for q in ids}

    return _score_blocks(judged, options, name, block)


def _score_blocks(
    judged: JudgedSet, options: Options, name: str, run_of: Callable[[list[str], int], Run]
) -> Values:
    values = {m: np.zeros(len(judged.query_ids)) for m in options.measures}
    path = options.folder / f"{judged.name}.{_file_name(name)}.trec" if options.folder else None
    for start in range(0, len(judged.query_ids), QUERY_BLOCK):
        ids = judged.query_ids[start : start + QUERY_BLOCK]
        run = run_of(ids, start)
        scores = score_run(run, {q: judged.qrels[q] for q in ids}, options.measures)
        for measure, by_query in scores.items():
            values[measure][start : start + len(ids)] = [by_query[q] for q in ids]
        if path is not None:
            with path.open("a", encoding="utf-8") as stream:
                write_run(stream, run, _file_name(name))
    return values


def _file_name(system: str) -> str:
    return "".join(c if c.isalnum() or c in "-_.@" else "-" for c in system)


def _retrieved(
    corpus: Corpus,
    judged: JudgedSet,
    systems: Sequence[DenseSystem],
    options: Options,
    k: int,
    own: Mapping[str, set[int]],
) -> Iterator[tuple[str, Hits]]:
    """Every system's name and hits, in the order of the report."""
    fused, found = dict[str, Hits](), dict[str, Hits]()
    for system in systems:
        for name, hits in _dense(judged, system, k):
            hits = without(hits, judged.query_ids, own)  # noqa: PLW2901
            if name == system.name:
                found[name] = hits
            yield name, hits
    if options.bm25:
        index = build_bm25(judged.texts(corpus.texts()))
        lexical = without(index.search(judged.query_texts, k), judged.query_ids, own)
        yield "bm25", lexical
        if options.hybrid:
            fused = {f"hybrid:{n}": reciprocal_rank_fusion([lexical, h], k) for n, h in found.items()}
        found["bm25"] = lexical
    yield from fused.items()
    if options.reranker is not None:
        for name, hits in {**found, **fused}.items():
            first = Hits(hits.rows[:, : options.rerank_depth], hits.scores[:, : options.rerank_depth])
            yield f"rerank:{name}", _reranked(corpus, judged, options.reranker, first)


def _dense(judged: JudgedSet, system: DenseSystem, k: int) -> Iterator[tuple[str, Hits]]:
    queries = system.encoder.encode_queries(judged.query_texts)  # [q, d]
    replaced: Floats | None = None
    if judged.withheld:
        replaced = system.encoder.encode_documents(list(judged.withheld.values()))

    def blocks() -> Iterable[tuple[int, Floats]]:
        if replaced is None:
            return system.vectors.blocks()
        return substituted(system.vectors.blocks(), list(judged.withheld), replaced)

    def shortened(size: int) -> Iterator[tuple[int, Floats]]:
        return ((start, leading(block, size)) for start, block in blocks())

    yield system.name, exact_search(queries, blocks, k)
    for size in system.dimensions:
        if size < system.vectors.dimension:
            short = exact_search(leading(queries, size), partial(shortened, size), k)
            yield f"{system.name}@{size}", short


def leading(vectors: Floats, size: int) -> Floats:
    """The first ``size`` components at unit norm (a row of zeros stays), [n, d] to [n, size]."""
    short = vectors[:, :size]
    norms = np.linalg.norm(short, axis=1, keepdims=True)
    return (short / np.where(norms > 0, norms, 1.0)).astype(np.float32)


def without(hits: Hits, query_ids: Sequence[str], excluded: Mapping[str, set[int]]) -> Hits:
    """Hits with each query's excluded rows taken out and the rest moved up."""
    rows, scores = hits.rows.copy(), hits.scores.copy()
    for position, query_id in enumerate(query_ids):
        if query_id not in excluded:
            continue
        gone = np.isin(rows[position], list(excluded[query_id]))
        order = np.argsort(gone, kind="stable")
        rows[position, gone], scores[position, gone] = NO_ROW, -np.inf
        rows[position], scores[position] = rows[position, order], scores[position, order]
    return Hits(rows, scores)


def _own(corpus: Corpus, judged: JudgedSet) -> dict[str, set[int]]:
    """Rows that are a query itself: by its id, or by its text."""
    own = own_rows(judged.query_ids, judged.query_texts, judged.texts(corpus.texts()))
    queries = set(judged.query_ids)
    for row, label in enumerate(judged.labels):
        if label in queries:
            own.setdefault(label, set()).add(row)
    return own


def _reranked(corpus: Corpus, judged: JudgedSet, scorer: PairScorer, hits: Hits) -> Hits:
    def texts_of(rows: Rows) -> list[str]:
        texts = [document_text(d.title, d.text) for d in corpus.take(rows)]
        return [judged.withheld.get(int(r), t) for r, t in zip(rows, texts, strict=True)]

    return rerank(scorer, judged.query_texts, hits, texts_of, hits.rows.shape[1])

"""Retrieve with each system and score its hits, a block of queries at a time.

Memory: a system's hits are two arrays [q, k]; corpora are read in blocks; runs exist for one
block of queries at a time. (Letters: q queries, n rows, d components, k hits per query.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from embedlib.contracts import Corpus, Doubles
from embedlib.evaluation.judged import JudgedSet
from embedlib.evaluation.measures import Run, hits_to_run, score_run
from embedlib.evaluation.model_on_set import DenseSystem, ModelOnSet, own_rows_of
from embedlib.evaluation.runs import write_run
from embedlib.progress import Progress, silent
from embedlib.retrieval.bm25 import build_bm25
from embedlib.retrieval.hits import Excluded, Hits, without
from embedlib.retrieval.plan import HYBRID, SearchPlan
from embedlib.retrieval.rerank import PairScorer, rerank_first
from embedlib.retrieval.sparse import SparseIndex

#: Queries whose run is held as dictionaries at a time.
QUERY_BLOCK = 256

Values = dict[str, Doubles]


@dataclass(frozen=True)
class Options:
    """What is retrieved and measured beside the dense systems themselves.

    Args:
        measures: ir-measures names.
        depth: Documents per query.
        bm25: Evaluate BM25.
        hybrid: Fuse BM25 with each dense system.
        plans: How each dense system would be served; a ``hybrid`` one says how it is fused.
        fusion: How the others are fused.
        sparse: A sparse encoder's term weights of the corpus, for plans that give it a weight.
        reranker: Scores (query, text) pairs, and how many a query; every system is then re-ranked too.
        runs: Other systems' runs by name.
        folder: Where TREC run files are written; nowhere when None.
        split: Name of the split, for the tables.
    """

    measures: Sequence[str]
    depth: int
    bm25: bool = False
    hybrid: bool = False
    plans: Mapping[str, SearchPlan] = field(default_factory=dict)
    fusion: SearchPlan = HYBRID
    sparse: SparseIndex | None = None
    reranker: tuple[PairScorer, int] | None = None
    runs: Mapping[str, Run] = field(default_factory=dict)
    folder: Path | None = None
    split: str = ""


@dataclass
class Evaluated:
    """Scores of every system on one judged set.

    Args:
        judged: The set.
        values: ``values[system][measure]``, in the order of ``judged.query_ids``, [q].
        hits: Hits of the dense systems, of BM25 and of their fusion, own documents taken out, [q, k].
    """

    judged: JudgedSet
    values: dict[str, Values] = field(default_factory=dict)
    hits: dict[str, Hits] = field(default_factory=dict)


def evaluate_systems(
    corpus: Corpus,
    judged: JudgedSet,
    systems: Sequence[DenseSystem],
    options: Options,
    *,
    progress: Progress = silent,
) -> Evaluated:
    """Retrieve and score with every system, each query's own document taken out.

    Returns:
        Scores and hits: the dense systems first, then BM25, hybrids, re-ranked, runs.
    """
    result = Evaluated(judged)
    own = own_rows_of(corpus, judged)
    reach = judged.reach(options.depth, own)
    for done, (name, hits) in enumerate(_retrieved(corpus, judged, systems, options, reach, own), 1):
        result.values[name] = score_hits(judged, hits, options, name)
        if "@" not in name and not name.startswith("rerank:"):
            result.hits[name] = hits
        progress(done, None, f"systems on {judged.name}")
    for name, run in options.runs.items():
        result.values[name] = score_given(judged, run, options, name)
    return result


def score_hits(judged: JudgedSet, hits: Hits, options: Options, name: str) -> Values:
    """Per-query values of hits [q, k]; appends to ``name``'s TREC run file where one is wanted."""

    def run_of(ids: list[str], start: int) -> Run:
        part = Hits(hits.rows[start : start + len(ids)], hits.scores[start : start + len(ids)])
        return hits_to_run(ids, part, judged.labels, qrels=judged.qrels, depth=options.depth)

    return _score_blocks(judged, options, name, run_of)


def query_values(judged: JudgedSet, hits: Hits, measure: str, depth: int) -> Doubles:
    """One measure of the first ``depth`` documents of each query's hits, [q]."""
    return score_hits(judged, hits, Options((measure,), depth), "")[measure]


def score_given(judged: JudgedSet, run: Run, options: Options, name: str) -> Values:
    """Per-query values of a run that was read from a file."""
    return _score_blocks(judged, options, name, lambda ids, _: {q: run.get(q, {}) for q in ids})


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
    corpus: Corpus, judged: JudgedSet, systems: Sequence[DenseSystem], options: Options, k: int, own: Excluded
) -> Iterator[tuple[str, Hits]]:
    """Every system's name and hits, in the order of the report."""
    bm25 = build_bm25(judged.texts(corpus.texts())) if options.bm25 else None
    found, fused = dict[str, Hits](), dict[str, Hits]()
    sparse = options.sparse.with_texts(judged.withheld) if options.sparse is not None else None
    for system in systems:
        on_set = ModelOnSet(judged, system, bm25, own, sparse)
        if options.hybrid:
            plan = options.plans.get(system.name, options.fusion)
            plan = plan if plan.mode == "hybrid" else options.fusion
            gathered = on_set.gather(k, plan.sparse_weight > 0)
            found[system.name] = gathered.dense
            fused[f"hybrid:{system.name}"] = on_set.answers(gathered, k, plan)
        else:
            found[system.name] = on_set.dense(k)
        yield system.name, found[system.name]
        yield from on_set.shortened(k)
    if bm25 is not None:
        found["bm25"] = without(bm25.search(judged.query_texts, k), own)
        yield "bm25", found["bm25"]
    yield from fused.items()
    if options.reranker is not None:
        score, depth = options.reranker
        for name, hits in {**found, **fused}.items():
            asked = (score, judged.query_texts, hits, partial(judged.texts_at, corpus))
            yield f"rerank:{name}", rerank_first(*asked, depth, weight=None)

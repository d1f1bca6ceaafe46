"""Retrieval measures per query: hits to runs, runs to scores, in parity with trec_eval.

A *run* maps each query to its retrieved documents and their scores. Rankings are ordered by
(-score, doc_id); trec_eval would break ties by descending doc_id, so the order is fixed here and
handed on as strictly decreasing scores (and ties of float32 scores cannot change a figure).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from embedlib.errors import ConfigError, DataError
from embedlib.retrieval.hits import Hits

Run = dict[str, dict[str, float]]
Qrels = Mapping[str, Mapping[str, int]]
Scores = dict[str, dict[str, float]]


def hits_to_run(
    query_ids: Sequence[str],
    hits: Hits,
    doc_ids: Sequence[str],
    *,
    qrels: Qrels | None = None,
    excluded: Mapping[str, Collection[int]] | None = None,
    depth: int | None = None,
) -> Run:
    """Turn hits into a run, without a query's own document.

    A hit is dropped when its document has the query's id (ArguAna), unless that is judged relevant to it:
    numbers of queries and of documents may mean nothing to each other. If several rows carry one id (chunks
    of one document), the best one stands for it.

    Args:
        query_ids: Id of each query, [q].
        hits: Rows and scores, [q, k], best first.
        doc_ids: Id of each row as the judgements name it, [n].
        qrels: Judgements by query id; none are known when None.
        excluded: Rows never to be returned for a query, by query id (see ``own_rows``).
        depth: Maximum documents kept per query; all when None.

    Returns:
        For each query (those without a hit too) its documents and scores, best first.

    Raises:
        DataError: A hit's score is NaN.
    """
    run: Run = {}
    for position, query_id in enumerate(query_ids):
        rows, scores = hits.rows[position], hits.scores[position]
        dropped = excluded.get(query_id, ()) if excluded else ()
        itself = None if is_relevant(qrels, query_id, query_id) else query_id
        found: dict[str, float] = {}
        for row, score in zip(rows.tolist(), scores.tolist(), strict=True):
            if row < 0 or row in dropped or doc_ids[row] == itself or doc_ids[row] in found:
                continue
            if math.isnan(score):
                raise DataError(
                    "a hit's score is NaN", where=f"query {query_id!r}, document {doc_ids[row]!r}"
                )
            found[doc_ids[row]] = score
            if depth is not None and len(found) == depth:
                break
        run[query_id] = found
    return run


def is_relevant(qrels: Qrels | None, query_id: str, doc_id: str) -> bool:
    """Whether a document is judged relevant to a query."""
    return qrels is not None and qrels.get(query_id, {}).get(doc_id, 0) > 0


def own_rows(
    query_ids: Sequence[str],
    query_texts: Sequence[str],
    texts: Iterable[str],
    doc_ids: Sequence[str],
    qrels: Qrels,
) -> dict[str, set[int]]:
    """Rows whose text is a query's own text, by query id; reads the corpus once, keeps no text.

    Not those that are judged relevant to it, as a document is that holds a question and no more.
    """
    owners: dict[str, list[str]] = {}
    for query_id, text in zip(query_ids, query_texts, strict=True):
        owners.setdefault(text.strip(), []).append(query_id)
    found: dict[str, set[int]] = {}
    for row, text in enumerate(texts):
        for query_id in owners.get(text.strip(), ()):
            if is_relevant(qrels, query_id, doc_ids[row]):
                continue
            found.setdefault(query_id, set()).add(row)
    return found


def ranked(documents: Mapping[str, float]) -> list[str]:
    """Document ids ordered by (-score, doc_id)."""
    return [doc_id for doc_id, _ in sorted(documents.items(), key=lambda item: (-item[1], item[0]))]


def score_run(run: Mapping[str, Mapping[str, float]], qrels: Qrels, measures: Sequence[str]) -> Scores:
    """Value of each measure for every judged query; zero for a query without hits.

    Computed by trec_eval through ir-measures; queries without judgements are left out.

    Args:
        run: Documents and scores per query.
        qrels: Relevance (0 and up) of the judged documents per query.
        measures: Names that ir-measures knows, such as ``nDCG@10``.

    Returns:
        ``{measure: {query_id: value}}``.

    Raises:
        ConfigError: A measure is unknown or cannot be computed.
        DataError: A score of the run is NaN.

    Examples:
        >>> score_run({"q": {"d1": 2.0, "d2": 1.0}}, {"q": {"d2": 1}}, ["RR@10"])
        {'RR@10': {'q': 0.5}}
    """
    parsed = parse_measures(measures)
    ids = list(qrels)
    strict: Run = {}
    judged: dict[str, dict[str, int]] = {}
    for number, query_id in enumerate(ids):
        documents = run.get(query_id, {})
        for doc_id, score in documents.items():
            if math.isnan(score):
                raise DataError("a run's score is NaN", where=f"query {query_id!r}, document {doc_id!r}")
        order = ranked(documents)
        if order:
            strict[str(number)] = {str(rank): float(len(order) - rank) for rank in range(len(order))}
            judged[str(number)] = _by_rank(qrels[query_id], order)
    scores = {name: [0.0] * len(ids) for name in parsed}
    if strict:
        direct = {name: trec for name, measure in parsed.items() if (trec := _trec_name(measure))}
        _score_directly(strict, judged, direct, scores)
        _score_by_provider(strict, judged, {n: m for n, m in parsed.items() if n not in direct}, scores)
    return {name: dict(zip(ids, values, strict=True)) for name, values in scores.items()}


def _by_rank(relevance: Mapping[str, int], order: Sequence[str]) -> dict[str, int]:
    """Judgements by the document's rank, or by a name of its own where it was not retrieved.

    trec_eval gets no id of ours: it ends them at NUL, takes none that is empty, and can abort the process.
    """
    rank_of = {doc_id: str(rank) for rank, doc_id in enumerate(order)}
    return {rank_of.get(d, f"missed {i}"): grade for i, (d, grade) in enumerate(relevance.items())}


#: trec_eval's names of the common measures without and with a cutoff.
_TREC = {
    "nDCG": ("ndcg", "ndcg_cut_"),
    "AP": ("map", "map_cut_"),
    "RR": ("recip_rank", "recip_rank@"),
    "R": ("", "recall_"),
    "P": ("", "P_"),
    "Success": ("", "success_"),
}


def _trec_name(measure: Any) -> str | None:
    """trec_eval's name of a measure with no parameter but a cutoff; None for others."""
    whole, cut = _TREC.get(measure.NAME, ("", ""))
    cutoff = measure.params.get("cutoff")
    if set(measure.params) - {"cutoff"}:
        return None
    return (f"{cut}{cutoff}" if cutoff and cut else whole) or None


def _score_directly(
    run: Run, qrels: dict[str, dict[str, int]], names: Mapping[str, str], scores: Mapping[str, list[float]]
) -> None:
    """The common measures by trec_eval itself: ir-measures' way to it loads pandas (200 MB)."""
    if not names:
        return
    import pytrec_eval

    asked = {trec.split("@")[0] for trec in names.values()}
    values = pytrec_eval.RelevanceEvaluator(qrels, asked).evaluate(run)
    for name, trec in names.items():
        whole, _, cutoff = trec.partition("@")
        least = 1 / int(cutoff) - 1e-9 if cutoff else 0.0  # RR@k is RR where the rank is at most k
        for number, by_name in values.items():
            value = float(by_name[whole])
            scores[name][int(number)] = value if value >= least else 0.0


def _score_by_provider(
    run: Run, qrels: dict[str, dict[str, int]], measures: Mapping[str, Any], scores: Mapping[str, list[float]]
) -> None:
    """Every other measure by whichever library ir-measures knows for it."""
    if not measures:
        return
    import ir_measures

    names: dict[Any, list[str]] = {}
    for name, measure in measures.items():
        names.setdefault(measure, []).append(name)
    for metric in ir_measures.evaluator(list(names), qrels).iter_calc(run):
        for name in names[metric.measure]:
            scores[name][int(metric.query_id)] = float(metric.value)


def parse_measures(names: Sequence[str]) -> dict[str, Any]:
    """The ir-measures object behind each name.

    Raises:
        ConfigError: Naming every one that is unknown, has no positive cutoff, or has no provider here.
    """
    import ir_measures

    parsed, problems = {}, []
    for name in names:
        try:
            measure = ir_measures.parse_measure(name)
            cutoff = measure.params.get("cutoff")
            if isinstance(cutoff, int) and cutoff < 1:
                raise ValueError(f"cutoff {cutoff}")
            if not ir_measures.DefaultPipeline.supports(measure):
                raise ValueError("no provider installed")
            parsed[name] = measure
        except (NameError, ValueError, TypeError, KeyError) as error:
            problems.append(f"measure {name!r}: {error}")
    if problems:
        raise ConfigError(problems, remedy="use names of ir-measures, such as nDCG@10, RR@10, R@100, AP, P@5")
    return parsed

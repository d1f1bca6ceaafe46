"""The whole evaluation of some systems on all judged sets of a split, written as files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from embedlib.contracts import SCORES, Corpus, write_table
from embedlib.evaluation.compare import Comparison, compare, means, natural_pairs
from embedlib.evaluation.examples import gains
from embedlib.evaluation.judged import JudgedSet, primary_set
from embedlib.evaluation.leakage import content_duplicates
from embedlib.evaluation.model_on_set import DenseSystem
from embedlib.evaluation.records import SLICES_FILE, EvaluationRecord, Gains, JudgedFigures, SliceFigure
from embedlib.evaluation.served import served_system
from embedlib.evaluation.significance import by_question
from embedlib.evaluation.slices import slice_figures, slices_of
from embedlib.evaluation.statistics import Resampling
from embedlib.evaluation.systems import Evaluated, Options, evaluate_systems
from embedlib.json_file import write_json
from embedlib.progress import Progress, silent
from embedlib.retrieval.plan import DENSE

JUDGED = pa.schema(
    [(n, pa.string()) for n in ("dataset", "query_id", "query")]
    + [(n, pa.list_(pa.string())) for n in ("relevant_ids", "twin_ids")]
)


def run_evaluation(
    corpus: Corpus,
    sets: Mapping[str, JudgedSet],
    systems: Sequence[DenseSystem],
    options: Options,
    primary: str,
    resampling: Resampling,
    out: Path,
    *,
    progress: Progress = silent,
) -> EvaluationRecord:
    """Evaluate on each judged set and write what was found.

    Writes ``scores.parquet`` (one row for every query, measure and system), ``scores_wide.csv``
    (one row per query, the primary measure), ``judged.parquet`` (the queries and their documents),
    ``comparisons.json``, ``slices.json`` and ``examples.json``.

    Slices and examples compare the system ``candidate`` with ``base``, each as the options say that it would
    be served.

    Returns:
        What ``comparisons.json`` holds.
    """
    found = [evaluate_systems(corpus, s, systems, options, progress=progress) for s in sets.values()]
    write_table(out / "scores.parquet", _score_rows(found, options.split), SCORES)
    write_table(out / "judged.parquet", _judged_rows(found, corpus), JUDGED)
    _write_wide(out / "scores_wide.csv", found, primary)
    record = _record(found, systems, options, primary, resampling)
    record.write(out)
    slices: list[SliceFigure] = []
    examples = Gains()
    deciding = next((e for e in found if e.judged.name == record.decides), None)
    if deciding is not None and {"base", "candidate"} <= set(deciding.values):
        base, candidate = (served_system(n, options.plans.get(n, DENSE)) for n in ("base", "candidate"))
        pieces = slices_of(deciding.judged, deciding.judged.texts(corpus.texts()))
        before, after = (deciding.values[system][primary] for system in (base, candidate))
        slices = slice_figures(pieces, after, before, resampling)
        examples = gains(deciding, corpus, primary, system=candidate, baseline=base)
    write_json(out / SLICES_FILE, slices)
    examples.write(out)
    return record


def _record(
    found: Sequence[Evaluated],
    systems: Sequence[DenseSystem],
    options: Options,
    primary: str,
    resampling: Resampling,
) -> EvaluationRecord:
    datasets: dict[str, JudgedFigures] = {}
    comparisons: list[Comparison] = []
    served = {name: served_system(name, plan) for name, plan in options.plans.items()}
    for e in found:
        values = {
            system: {m: by_question(v, e.judged.query_texts) for m, v in by_measure.items()}
            for system, by_measure in e.values.items()
        }
        datasets[e.judged.name] = JudgedFigures(
            queries=len(e.judged.query_ids),
            answerable=e.judged.answerable,
            documents=len(e.judged.labels),
            systems=means(values, options.measures, resampling),
        )
        pairs = natural_pairs(list(values), served)
        comparisons += compare(values, pairs, options.measures, resampling, dataset=e.judged.name)
    deciding = primary_set({e.judged.name: e.judged for e in found})
    return EvaluationRecord(
        primary=primary,
        plans=dict(options.plans),
        level=resampling.level,
        decides=deciding.name if deciding else None,
        datasets=datasets,
        comparisons=comparisons,
        dimensions={s.name: s.vectors.dimension for s in systems},
    )


def _score_rows(found: Sequence[Evaluated], split: str) -> Iterator[dict[str, Any]]:
    for e in found:
        for system, by_measure in e.values.items():
            for measure, values in by_measure.items():
                for query_id, value in zip(e.judged.query_ids, values.tolist(), strict=True):
                    yield {
                        "query_id": query_id,
                        "measure": measure,
                        "system": system,
                        "dataset": e.judged.name,
                        "split": split,
                        "value": value,
                    }


def _judged_rows(found: Sequence[Evaluated], corpus: Corpus) -> Iterator[dict[str, Any]]:
    for e in found:
        same = content_duplicates(e.judged, corpus)
        for query_id, text in zip(e.judged.query_ids, e.judged.query_texts, strict=True):
            relevant = sorted(d for d, r in e.judged.qrels[query_id].items() if r > 0)
            yield {
                "dataset": e.judged.name,
                "query_id": query_id,
                "query": text,
                "relevant_ids": relevant,
                "twin_ids": sorted({t for d in relevant for t in same.get(d, ())}),
            }


def _write_wide(path: Path, found: Sequence[Evaluated], measure: str) -> None:
    import csv

    systems = list(dict.fromkeys(s for e in found for s in e.values))
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["dataset", "query_id", "query", *(f"{s} {measure}" for s in systems)])
        for e in found:
            for i, query_id in enumerate(e.judged.query_ids):
                row = [f"{e.values[s][measure][i]:.6f}" if s in e.values else "" for s in systems]
                writer.writerow([e.judged.name, query_id, e.judged.query_texts[i], *row])

"""Stage ``general``: what models reach on general sets, and whether guards hold; needs no documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from embedlib.artifact import ArtifactRef
from embedlib.config.evaluation import General
from embedlib.contracts import SCORES, write_table
from embedlib.evaluation.guards import GuardCache, GuardSet, ValuesOf, general_figures, guard_figures
from embedlib.evaluation.records import GENERAL_FILE, GUARDS_FILE
from embedlib.evaluation.similarity import SentencePairs
from embedlib.evaluation.statistics import Resampling
from embedlib.json_file import write_json
from embedlib.models.opening import open_folder
from embedlib.stages.base import Job, Stage, Summary
from embedlib.stages.guards import guard_digests, guard_set


def run(job: Job, config: General, /, **models: ArtifactRef) -> Summary:
    """Measure every model on every set; the guards hold each against the baseline.

    Writes ``general.json`` (rows of ``general_figures``), ``guards.json``, and ``scores.parquet``
    with each query's value or each sentence pair's cosine.
    """
    names = [config.baseline, *(n for n in models if n != config.baseline)]
    encoders = {n: open_folder(models[n].path, "fp32") for n in names}
    values_of = GuardCache(job.store, encoders, {n: f"{models[n].digest} fp32" for n in names})
    guards = [guard_set(g) for g in config.guards]
    sets = [*(guard_set(s) for s in config.sets), *guards]
    resampling = Resampling(job.generator("general"), config.draws, config.level)
    rows = general_figures(sets, values_of, names, resampling)
    figures = [
        f for name in names[1:] for f in guard_figures(guards, values_of, resampling, (name, config.baseline))
    ]
    write_table(job.out / "scores.parquet", _scores(sets, values_of, names), SCORES)
    write_json(job.out / GENERAL_FILE, rows)
    write_json(job.out / GUARDS_FILE, figures)
    return {f"{row.set}.{row.system}.{row.measure}": row.mean for row in rows}


def _scores(sets: Sequence[GuardSet], values_of: ValuesOf, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    for general in sets:
        content = general.content
        if isinstance(content, SentencePairs):
            measure, ids = "cosine", [str(n) for n in range(1, len(content.first) + 1)]
        else:
            measure, ids = general.measure, content.query_ids
        about = {"measure": measure, "dataset": general.name, "split": ""}
        for name in names:
            for item, value in zip(ids, values_of(general, name).tolist(), strict=True):
                yield {"query_id": item, "system": name, "value": value, **about}


def external(config: General) -> dict[str, str]:
    """Digests of the sets' files.

    Raises:
        DataError: A file is missing.
    """
    return guard_digests([*config.sets, *config.guards])


STAGE = Stage("general", "general", run, external)

"""What each origin of pairs is worth: a short training on some of its pairs, measured on dev."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from embedlib.contracts import EXAMPLES, Doubles, read_rows, write_table
from embedlib.disk import write_atomic
from embedlib.evaluation.significance import paired_bootstrap
from embedlib.evaluation.statistics import Resampling
from embedlib.pairs.report import OriginProbe, ProbeResult
from embedlib.training.finetune import prepare, recipe_of
from embedlib.training.loop import dev_score, read_dev, train
from embedlib.training.options import TrainingJob, World, report_progress, train_options

#: Origin of labelled pairs: what people said is kept whatever a short probe says.
LABEL = "label"
#: Fewer pairs than this say nothing in a short training: the origin is kept unmeasured.
LEAST_PAIRS = 64


def probe(job: TrainingJob) -> dict[str, Any]:
    """Probe every origin: ``job.out/probe.json`` says which ones are kept, and why.

    An origin that was measured before a crash is not measured again. ``job.options`` are
    TrainOptions and ``pairs`` (pairs per origin, at most) and ``margin`` (see ``verdict``).

    Returns:
        Number of origins and of kept ones, and each origin's change of dev nDCG@10.
    """
    options = dict(job.options)
    pairs, margin = int(options.pop("pairs")), float(options.pop("margin"))
    groups = sample_pairs(read_rows(Path(job.inputs["pairs"]) / "pairs.parquet"), pairs, job.seed)
    measured: dict[str, OriginProbe] = {}
    before = _Before()
    for number, (origin, rows) in enumerate(sorted(groups.items())):
        folder = Path(job.scratch) / f"origin-{number}"
        folder.mkdir(exist_ok=True)
        one = dataclasses.replace(job, options=options, scratch=str(folder))
        if (result := _measured(one, rows, before)) is not None:
            measured[origin] = result
        report_progress(number + 1, len(groups), "origins probed")
    kept = verdict(measured, list(groups), margin=margin)
    out = Path(job.out)
    out.mkdir(parents=True, exist_ok=True)
    ProbeResult(kept=kept, origins=measured).write(out)
    changes = {f"delta_{origin}": round(m.delta, 6) for origin, m in measured.items()}
    return {"origins": len(groups), "kept": len(kept), **changes}


def sample_pairs(rows: Iterable[Mapping[str, Any]], most: int, seed: int) -> dict[str, list[dict[str, Any]]]:
    """At most ``most`` random pairs of each origin, in their order."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["origin"], []).append(dict(row))
    chosen = {}
    for origin, found in sorted(groups.items()):
        rng = np.random.default_rng([seed, *origin.encode()])
        places = np.sort(rng.choice(len(found), size=min(most, len(found)), replace=False))
        chosen[origin] = [found[i] for i in places]
    return chosen


def verdict(measured: Mapping[str, OriginProbe], origins: Iterable[str], *, margin: float) -> list[str]:
    """Origins to keep: all but those that harm beyond noise.

    An origin goes when its interval lies below zero or it loses more than ``margin``. Labels stay,
    and so does the least harmful origin when all would go: a training that does harm is for the
    gate to refuse, with figures.

    Args:
        measured: The origins that were measured.
        origins: All origins; one without a figure is kept.
        margin: Largest loss that may be noise.
    """
    everything = sorted(origins)
    harmful = {o for o, m in measured.items() if m.high < 0 or m.delta < -margin}
    kept = [origin for origin in everything if origin == LABEL or origin not in harmful]
    return kept or [max(everything, key=lambda origin: measured[origin].delta)]


class _Before:
    """The base model's dev scores, the same for every origin: computed when first asked for."""

    scores: Doubles | None = None


def _measured(job: TrainingJob, rows: list[dict[str, Any]], base: _Before) -> OriginProbe | None:
    """Dev before and after a short training on these pairs; None if there are too few or no dev set."""
    path = Path(job.scratch) / "measured.json"
    if path.is_file():
        return OriginProbe.model_validate_json(path.read_bytes())
    if len(rows) < LEAST_PAIRS:
        return None
    options = train_options(job.options)
    dev = read_dev(job.inputs, job.seed, options.dev_documents, options.dev_queries)
    if dev is None:
        return None
    examples = Path(job.scratch)
    write_table(examples / "examples.parquet", map(_as_example, rows), EXAMPLES)
    one = dataclasses.replace(job, inputs={**job.inputs, "examples": str(examples)})
    prepared = prepare(one, options, World())
    if base.scores is None:
        base.scores = dev_score(dev, prepared.encoder, bf16=prepared.bf16)[1]
    before = base.scores
    recipe = dataclasses.replace(recipe_of(one, options, prepared), checkpoint_s=None)
    train(prepared.encoder.module, recipe, examples, seed=job.seed)
    after = dev_score(dev, prepared.encoder, bf16=prepared.bf16)[1]
    interval = paired_bootstrap(after, before, Resampling(np.random.default_rng([job.seed, *b"probe"])))
    result = OriginProbe(
        dev_before=float(before.mean()),
        dev_after=float(after.mean()),
        delta=interval.mean,
        low=interval.low,
        high=interval.high,
        n=interval.n,
        pairs=len(rows),
    )
    write_atomic(path, result.model_dump_json())
    return result


def _as_example(pair: Mapping[str, Any]) -> dict[str, Any]:
    empty: dict[str, Any] = {"negative_ids": [], "origins": [], "scores": [], "teacher_scores": []}
    named = {"query_id": pair["query_id"], "query": pair["query"], "origin": pair["origin"]}
    return {**named, "positive_id": pair["doc_id"], "teacher_positive": None, **empty}

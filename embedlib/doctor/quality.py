"""Checks of retrieval quality: prompt, pooling, metric, base, BM25. All on judged queries, paired."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from embedlib.contracts import Doubles
from embedlib.doctor.findings import Finding, failure, fine, warning
from embedlib.evaluation.significance import Interval, paired_bootstrap
from embedlib.evaluation.statistics import Resampling

#: A difference in nDCG@10 below this is not worth a finding.
MATTERS = 0.01


def best_alternative(
    current: Doubles, alternatives: Mapping[str, Doubles], rng: np.random.Generator
) -> tuple[str, Interval] | None:
    """The best alternative that is better than ``current`` beyond doubt and by enough to matter.

    Intervals are at the 95% level after Bonferroni's correction for the number of alternatives.

    All values are of the same judged queries in one order, [n].

    Returns:
        Its name and the interval of its gain; None when none is.
    """
    level = 1 - 0.05 / max(len(alternatives), 1)
    resampling = Resampling(rng, level=level)
    gains = {name: paired_bootstrap(values, current, resampling) for name, values in alternatives.items()}
    good = {name: gain for name, gain in gains.items() if gain.low > 0 and gain.mean >= MATTERS}
    return max(good.items(), key=lambda item: item[1].mean, default=None)


def check_prompts(
    current: Doubles, alternatives: Mapping[str, Doubles], published: str, rng: np.random.Generator
) -> Finding:
    """Would another pair of prompts, named by how it reads, retrieve better? See ``best_alternative``.

    Only the ``published`` ones of a known model are right beyond the queries that they were tried on.
    """
    found = best_alternative(current, alternatives, rng)
    if found is None:
        return fine("prompts", "no other prompts retrieve better", tried=sorted(alternatives))
    name, gain = found
    remedy = "set model.query_prompt and model.document_prompt to these, then `embedlib run`"
    if name == published:
        return _wrong(
            "prompts", "the prompts are not those that the model was made with", found, current, remedy
        )
    title = (
        f"other prompts may be worth a run: {name} gains {gain.mean:.4f} nDCG@10 "
        f"(interval {gain.low:+.4f} to {gain.high:+.4f}, {gain.n} queries)"
    )
    return warning("prompts", title, remedy, **_evidence(current, gain))


def check_pooling(current: Doubles, alternatives: Mapping[str, Doubles], rng: np.random.Generator) -> Finding:
    """Would another pooling retrieve better (the model was made for another)? See ``best_alternative``."""
    found = best_alternative(current, alternatives, rng)
    if found is None:
        return fine("pooling", "no other pooling retrieves better", tried=sorted(alternatives))
    return _wrong(
        "pooling", "the pooling is wrong", found, current, f"embedlib run --set model.pooling={found[0]}"
    )


def check_metric(cosine: Doubles, inner_product: Doubles, in_use: str, rng: np.random.Generator) -> Finding:
    """Would the other metric retrieve better, by nDCG@10 of each query when ranked by each?"""
    values = {"cosine": cosine, "inner_product": inner_product}
    current = values.pop(in_use)
    found = best_alternative(current, values, rng)
    if found is None:
        return fine("metric", f"{in_use} is the right metric", **{"nDCG@10": float(current.mean())})
    similarity = "cosine" if found[0] == "cosine" else "dot"
    file = "the model's config_sentence_transformers.json"
    remedy = f"set similarity_fn_name to {similarity!r} in {file}, then `embedlib refresh`"
    return _wrong("metric", "the metric is wrong", found, current, remedy)


def _wrong(subject: str, fault: str, found: tuple[str, Interval], current: Doubles, remedy: str) -> Finding:
    name, gain = found
    return failure(subject, f"{fault}: {name} retrieves better", remedy, **_evidence(current, gain))


def _evidence(current: Doubles, gain: Interval) -> dict[str, float | int]:
    return {"nDCG@10 now": float(current.mean()), **_interval(gain)}


def check_base(tuned: Doubles, base: Doubles, rng: np.random.Generator) -> Finding:
    """Is the tuned model at least as good as the base it came from?"""
    gain = paired_bootstrap(tuned, base, Resampling(rng))
    evidence = {"tuned": float(tuned.mean()), "base": float(base.mean()), **_interval(gain)}
    if gain.high < 0:
        return failure(
            "base", "the base model is better than the released one", "embedlib rollback", **evidence
        )
    if gain.low <= 0:
        return warning(
            "base",
            "the released model is not proven better than its base",
            "more or better training data: see the report's pair origins, then `embedlib run`",
            **evidence,
        )
    return fine("base", "the released model is better than its base", **evidence)


def check_bm25(served: Doubles, bm25: Doubles, hybrid: Doubles | None, rng: np.random.Generator) -> Finding:
    """Does plain BM25 find more than what is served (poor transfer to this domain)?"""
    gap = paired_bootstrap(bm25, served, Resampling(rng))
    evidence = {"served": float(served.mean()), "bm25": float(bm25.mean()), **_interval(gap)}
    if hybrid is not None:
        evidence["hybrid"] = float(hybrid.mean())
    if gap.low > 0:
        return warning(
            "bm25",
            "BM25 alone retrieves better than what is served: the model does not know these words yet",
            'try `embedlib search "…" --mode bm25` and hybrid; train with --set adapt.method=tsdae',
            **evidence,
        )
    return fine("bm25", "what is served is not worse than BM25", **evidence)


def _interval(gain: Interval) -> dict[str, float | int]:
    return {"difference": gain.mean, "low": gain.low, "high": gain.high, "queries": gain.n}

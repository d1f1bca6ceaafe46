"""Stage ``reranking``: whether a reranker orders the first hits anew, how deep, and what that costs."""

from __future__ import annotations

from dataclasses import asdict
from typing import NamedTuple

import numpy as np

from embedlib.artifact import ArtifactRef
from embedlib.config.reranking import Reranking
from embedlib.contracts import Corpus
from embedlib.errors import DataError
from embedlib.evaluation.compare import Comparison, compare
from embedlib.evaluation.gate import proven
from embedlib.evaluation.gate_sentences import DERIVED, KINDS
from embedlib.evaluation.judged import JudgedSet, primary_set, read_judged
from embedlib.evaluation.records import Decision
from embedlib.evaluation.significance import by_question
from embedlib.evaluation.statistics import Resampling
from embedlib.evaluation.two_stage import (
    MOST_QUERIES,
    FirstStage,
    Tried,
    calibrate,
    least_depth,
    table,
    time_depths,
)
from embedlib.retrieval.plan import SearchPlan
from embedlib.retrieval.rerank import PairScorer, load_cross_encoder
from embedlib.retrieval.sparse import SparseIndex
from embedlib.stages.base import Job, Stage, Summary
from embedlib.stages.decide import policy_of
from embedlib.stages.evaluate import dense_systems
from embedlib.stages.publish import best_search


class Chosen(NamedTuple):
    """What dev chose and what was measured; nothing is chosen where no depth is fast enough."""

    tried: Tried | None
    gain: float
    table: list[dict[str, float]]
    p95_ms: float


def run(  # noqa: PLR0913 - an argument an artifact
    job: Job,
    config: Reranking,
    *,
    corpus: ArtifactRef,
    queries: ArtifactRef,
    model: ArtifactRef,
    vectors: ArtifactRef,
    reranker: ArtifactRef,
    decision: ArtifactRef | None = None,
    sparse: ArtifactRef | None = None,
) -> Summary:
    """Choose depth and weight on dev within the latency budget; test both stages against the first.

    ``decision`` says how ``model`` is searched, by which measure; by its vectors without one.

    Raises:
        DataError: There are no judged dev or test queries.
    """
    documents = Corpus(corpus.path)
    (system,) = dense_systems({"served": model, "served_vectors": vectors}, documents, ())
    plan = best_search({"model": model, "decision": decision})
    terms = SparseIndex.load(sparse.path) if sparse is not None else None
    plan = plan if terms is not None else plan.without_sparse()
    measure = "nDCG@10" if decision is None else Decision.read(decision.path).numbers["measure"]
    score = load_cross_encoder(reranker.path)
    dev, test = (
        FirstStage(documents, judged, system, plan, measure, terms)
        for judged in _sets(documents, queries, job.generator("reranking"))
    )
    chosen = choose(dev, score, config)
    comparison, means = tested(test, score, chosen.tried, measure, job.generator("test"))
    refused = refusal(config, chosen, comparison, test.judged.answerable)
    keep = "Keep the first stage alone: a reranker does not earn its place."
    serve = "Serve the reranker: the answer is proven better by it."
    found = Decision(
        verdict="keep" if refused else "promote",
        headline=keep if refused else serve,
        reasons=(*_sentences(config, chosen, comparison, means, plan), *refused),
        advice=(),
        decided_on=test.judged.name,
        numbers={
            "measure": measure,
            "queries": test.judged.answerable,
            "chosen_on": dev.judged.name,
            "first_stage": means[0],
            "two_stages": means[1],
            "comparison": asdict(comparison) if comparison else None,
            "p95_ms": chosen.p95_ms,
            "tried": chosen.table,
        },
        search={"model": plan},
        models={"model": model.digest, "reranker": reranker.digest},
        rerank=chosen.tried.plan if chosen.tried else None,
    )
    found.write(job.out)
    gain = comparison.difference.mean if comparison else 0.0
    return {"verdict": found.verdict, "headline": found.headline, "gain": gain, "p95_ms": chosen.p95_ms}


def _sets(corpus: Corpus, queries: ArtifactRef, rng: np.random.Generator) -> tuple[JudgedSet, JudgedSet]:
    dev, test = (read_judged(corpus, queries.path, split) for split in ("dev", "test"))
    deciding = primary_set(test)
    choosing = dev.get(deciding.name) or primary_set(dev) if deciding is not None else None
    if deciding is None or choosing is None:
        raise DataError(
            "nothing tells whether a reranker helps",
            where=str(queries.path),
            expected="judged dev and test queries",
            found=f"dev: {', '.join(dev) or 'none'}; test: {', '.join(test) or 'none'}",
            remedy="give judgements of both splits, or leave rerank.start out",
        )
    return choosing.sample(MOST_QUERIES, rng), deciding


def choose(dev: FirstStage, score: PairScorer, config: Reranking) -> Chosen:
    """Depth and weight on dev: of the depths that the budget allows the least within noise of the best."""
    latency = time_depths(dev, score, config.depth, config.latency_ms)
    allowed = [depth for depth, ms in latency.items() if ms <= config.latency_ms]
    tried = calibrate(dev.hits, dev.scores(score, allowed[-1]), dev.values, allowed) if allowed else []
    if not tried:
        return Chosen(None, 0.0, [], min(latency.values()))
    best = least_depth(tried)
    gain = float(best.values.mean() - dev.values(dev.hits).mean())
    return Chosen(best, gain, table(tried, latency), latency[best.plan.depth])


def tested(
    test: FirstStage, score: PairScorer, tried: Tried | None, measure: str, rng: np.random.Generator
) -> tuple[Comparison | None, tuple[float, float | None]]:
    """Both stages against the first on the test queries, and their means; no comparison without a plan."""
    first = test.values(test.hits)
    if tried is None:
        return None, (float(first.mean()), None)
    both = test.both_values(score, tried.plan)
    stages = {"two stages": both, "first stage": first}
    values = {name: {measure: by_question(v, test.judged.query_texts)} for name, v in stages.items()}
    pairs = [("two stages", "first stage")]
    (comparison,) = compare(values, pairs, [measure], Resampling(rng), dataset=test.judged.name)
    return comparison, (float(first.mean()), float(both.mean()))


def refusal(config: Reranking, chosen: Chosen, comparison: Comparison | None, answerable: int) -> list[str]:
    """Why the reranker is not served; nothing where it is."""
    policy = policy_of(config.decide)
    if chosen.p95_ms > config.latency_ms:
        return [
            f"Not even the least depth keeps to the {config.latency_ms:g} ms allowed (rerank.latency_ms)."
        ]
    if chosen.tried is None or comparison is None:
        return ["The reranker gives all of a query's documents one score."]
    if answerable < policy.min_queries:
        return [f"Only {answerable} answerable test queries; {policy.min_queries} are the least that decide."]
    if chosen.gain <= 0:
        return [f"On dev nothing is gained ({chosen.gain:+.4f})."]
    if not proven(comparison, policy):
        return [f"That is not proven, or less than the least gain, {policy.effect(comparison.dataset):g}."]
    return []


def _sentences(
    config: Reranking,
    chosen: Chosen,
    comparison: Comparison | None,
    means: tuple[float, float | None],
    plan: SearchPlan,
) -> list[str]:
    time = (
        f"Re-ranking takes at most {chosen.p95_ms:.0f} ms here for 95 of 100 queries; "
        f"{config.latency_ms:g} are allowed."
    )
    if chosen.tried is None or comparison is None:
        return [time]
    d, second = comparison.difference, chosen.tried.plan
    quality = (
        f"{plan}, {second}, {'gains' if d.mean >= 0 else 'loses'} {abs(d.mean):.4f} {comparison.measure} "
        f"against {plan} alone (interval {d.ends}, p = {comparison.p:.4f}, {d.n} "
        f"{KINDS.get(comparison.dataset, comparison.dataset)}): {means[0]:.4f} to {means[1]:.4f}."
    )
    return [quality, time, *([DERIVED] if comparison.dataset == "derived" else [])]


STAGE = Stage("reranking", "decision", run, accelerated=True)

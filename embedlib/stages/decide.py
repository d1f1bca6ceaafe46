"""Stage ``decide``: promote the candidate, or not, with reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from embedlib.artifact import ArtifactRef
from embedlib.config.evaluation import Decide
from embedlib.contracts import read_rows
from embedlib.corpus.profile import CorpusProfile
from embedlib.evaluation.gate import decide, first_release
from embedlib.evaluation.gate_inputs import read_gate_inputs
from embedlib.evaluation.gate_sentences import language_advice
from embedlib.evaluation.leakage import Leak, find_leaks
from embedlib.evaluation.lineage import Provenance
from embedlib.evaluation.records import Decision, EvaluationRecord
from embedlib.evaluation.statistics import Policy
from embedlib.fingerprint import digest
from embedlib.stages.base import Job, Stage, Summary
from embedlib.store import Store


def run(
    job: Job,
    config: Decide,
    *,
    evaluation: ArtifactRef,
    examples: ArtifactRef | None = None,
    reranking: ArtifactRef | None = None,
    corpus: ArtifactRef | None = None,
    base: ArtifactRef | None = None,
) -> Summary:
    """Apply the gate; ``examples`` are searched for test data, ``reranking`` is why what is live re-ranks.

    Where ``corpus`` and ``base`` are given, the advice names a language that the base was not made for.

    Without a candidate among the models evaluated, the base goes live as the first release.
    """
    leaks = []
    if examples is not None:
        rows = read_rows(examples.file("examples.parquet"), ["query_id", "query", "positive_id"])
        leaks = find_leaks(read_rows(evaluation.file("judged.parquet")), rows)
    models = EvaluationRecord.read(evaluation.path).models
    others = [digest for name, digest in models.items() if name != "candidate"]
    figures = replace(
        read_gate_inputs(evaluation.path),
        leaks=[leak.detail for leak in leaks if leak.voids],
        cautions=cautions_of(leaks),
        trained=examples is not None or models.get("candidate") not in others,
        second_stage=0.0 if reranking is None else gain_of(reranking),
    )
    test_set = test_set_digest(evaluation)
    judged = "candidate" in figures.plans
    decision = decide(figures, policy_of(config)) if judged else first_release(figures)
    about: dict[str, Any] = {"test_set": test_set, "models": models}
    if corpus is not None and base is not None:
        about["advice"] = (*decision.advice, *foreign_languages(corpus, base))
    decision.model_copy(update=about).write(job.out)
    return {
        "verdict": decision.verdict,
        "headline": decision.headline,
        "reason": decision.reasons[0] if decision.reasons else "",
        "decided_on": decision.decided_on,
        "test_set": test_set if judged else "",
        "test_set_used_before": previous_uses(job.store, test_set) if judged else 0,
    }


def foreign_languages(corpus: ArtifactRef, base: ArtifactRef) -> list[str]:
    """What to do where the base was not made for a language of the documents; nothing where it was."""
    profile, source = CorpusProfile.read(corpus.path), Provenance.of(base.path).source
    return language_advice(source or "", profile.languages or {}, profile.sampled)


def cautions_of(leaks: Sequence[Leak]) -> list[str]:
    """One sentence on the leaks that do not void the test, with the first of them."""
    slight = [leak for leak in leaks if not leak.voids]
    if not slight:
        return []
    return [f"{len(slight)} test queries share all their words with a training query; {slight[0].detail}."]


def gain_of(reranking: ArtifactRef) -> float:
    """What a served reranker gained on the test queries when it was proven."""
    numbers = Decision.read(reranking.path).numbers
    return float(numbers["two_stages"] - numbers["first_stage"])


def policy_of(config: Decide) -> Policy:
    """The options as the gate takes them."""
    return Policy(**config.model_dump(exclude={"approval", "approval_timeout_s"}))


def test_set_digest(evaluation: ArtifactRef) -> str:
    """Identity of the judged queries that an evaluation was made on."""
    rows = read_rows(evaluation.file("judged.parquet"), ["dataset", "query_id", "query", "relevant_ids"])
    return digest(list(rows))


def previous_uses(store: Store, test_set: str) -> int:
    """How many decisions in the workspace were made on this test set."""
    return sum(ref.manifest.summary.get("test_set") == test_set for ref in store.artifacts("decision"))


STAGE = Stage("decide", "decision", run)

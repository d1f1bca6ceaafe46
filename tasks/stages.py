"""One task a stage, with the artifacts that it reads: the rows of the DAG's table."""

from __future__ import annotations

from collections.abc import Mapping

from embedlib.artifact import ArtifactRef
from embedlib.config.data import Ingest, Split
from embedlib.config.evaluation import Decide, Evaluate, General, Report
from embedlib.config.index import Index
from embedlib.config.models import Encode, Model, Sparse
from embedlib.config.pairs import Mine, Synthesize
from embedlib.config.reranking import Rerank, Reranking
from embedlib.config.training import Adapt, Distil, Merge, Probe, Train
from embedlib.stages.adapt import STAGE as ADAPT
from embedlib.stages.choice import STAGE as CHOICE
from embedlib.stages.decide import STAGE as DECIDE
from embedlib.stages.distil import STAGE as DISTIL
from embedlib.stages.encode import STAGE as ENCODE
from embedlib.stages.evaluate import STAGE as EVALUATE
from embedlib.stages.general import STAGE as GENERAL
from embedlib.stages.index import STAGE as INDEX
from embedlib.stages.ingest import STAGE as INGEST
from embedlib.stages.merge import STAGE as MERGE
from embedlib.stages.mine import STAGE as MINE
from embedlib.stages.pin import STAGE as PIN
from embedlib.stages.probe import STAGE as PROBE
from embedlib.stages.report import STAGE as REPORT
from embedlib.stages.reranker import STAGE as RERANKER
from embedlib.stages.reranking import STAGE as RERANKING
from embedlib.stages.sparse import STAGE as SPARSE
from embedlib.stages.split import STAGE as SPLIT
from embedlib.stages.student import STAGE as STUDENT
from embedlib.stages.synthesize import STAGE as SYNTHESIZE
from embedlib.stages.train import STAGE as TRAIN
from tasks.context import RunContext
from tasks.stage import run_task


def pin(run: RunContext, config: Model, *, label: str = "") -> ArtifactRef:
    """A model with its options fixed (pooling, prompts, length): a ``model``."""
    return run_task(run, PIN, config, label)


def ingest(run: RunContext, config: Ingest, *, label: str = "") -> ArtifactRef:
    """Read, normalise, deduplicate and chunk the documents: a ``corpus``."""
    return run_task(run, INGEST, config, label)


def split(run: RunContext, config: Split, *, corpus: ArtifactRef, label: str = "") -> ArtifactRef:
    """Leakage-safe train, dev and test queries with their judgements: ``queries``."""
    return run_task(run, SPLIT, config, label, corpus=corpus)


def encode(
    run: RunContext, config: Encode, *, corpus: ArtifactRef, model: ArtifactRef, label: str = ""
) -> ArtifactRef:
    """The corpus by one model, changed documents only: ``vectors``."""
    return run_task(run, ENCODE, config, label, corpus=corpus, model=model)


def sparse(run: RunContext, config: Sparse, *, corpus: ArtifactRef, label: str = "") -> ArtifactRef | None:
    """The corpus by a sparse encoder, changed documents only: ``sparse``; None where none is named."""
    return run_task(run, SPARSE, config, label, corpus=corpus) if config.model else None


def synthesize(
    run: RunContext,
    config: Synthesize,
    *,
    corpus: ArtifactRef,
    queries: ArtifactRef,
    model: ArtifactRef,
    vectors: ArtifactRef,
    label: str = "",
) -> ArtifactRef:
    """Queries made from documents, filtered: ``pairs``."""
    return run_task(
        run, SYNTHESIZE, config, label, corpus=corpus, queries=queries, model=model, vectors=vectors
    )


def probe(
    run: RunContext,
    config: Probe,
    *,
    corpus: ArtifactRef,
    queries: ArtifactRef,
    pairs: ArtifactRef,
    model: ArtifactRef,
    vectors: ArtifactRef,
    label: str = "",
) -> ArtifactRef:
    """Which origins of pairs help, from short trainings: a ``probe``."""
    return run_task(
        run, PROBE, config, label, corpus=corpus, queries=queries, pairs=pairs, model=model, vectors=vectors
    )


def mine(  # noqa: PLR0913 - an argument an artifact
    run: RunContext,
    config: Mine,
    *,
    corpus: ArtifactRef,
    queries: ArtifactRef,
    pairs: ArtifactRef,
    model: ArtifactRef,
    vectors: ArtifactRef,
    probe: ArtifactRef | None = None,
    label: str = "",
) -> ArtifactRef:
    """Positives with hard negatives and teacher scores: ``examples``."""
    return run_task(
        run,
        MINE,
        config,
        label,
        corpus=corpus,
        queries=queries,
        pairs=pairs,
        model=model,
        vectors=vectors,
        probe=probe,
    )


def adapt(
    run: RunContext,
    config: Adapt,
    *,
    corpus: ArtifactRef,
    queries: ArtifactRef,
    model: ArtifactRef,
    label: str = "",
) -> ArtifactRef:
    """Domain adaptation without labels (MLM or TSDAE): a ``model``."""
    return run_task(run, ADAPT, config, label, corpus=corpus, queries=queries, model=model)


def train(
    run: RunContext,
    config: Train,
    *,
    corpus: ArtifactRef,
    queries: ArtifactRef,
    examples: ArtifactRef,
    model: ArtifactRef,
    label: str = "",
) -> ArtifactRef:
    """Fine-tune a model in a process of its own: a ``model``."""
    return run_task(run, TRAIN, config, label, corpus=corpus, queries=queries, examples=examples, model=model)


def merge(
    run: RunContext,
    config: Merge,
    *,
    corpus: ArtifactRef,
    queries: ArtifactRef,
    base: ArtifactRef,
    tuned: ArtifactRef,
    label: str = "",
) -> ArtifactRef:
    """Weights between base and tuned, the share chosen on dev: a ``model``."""
    return run_task(run, MERGE, config, label, corpus=corpus, queries=queries, base=base, tuned=tuned)


def evaluate(
    run: RunContext,
    config: Evaluate,
    *,
    corpus: ArtifactRef,
    queries: ArtifactRef,
    models: Mapping[str, ArtifactRef],
    decision: ArtifactRef | None = None,
    sparse: ArtifactRef | None = None,
    label: str = "",
) -> ArtifactRef:
    """Models (``NAME`` with ``NAME_vectors``) side by side: an ``evaluation``."""
    inputs = {"corpus": corpus, "queries": queries, "decision": decision, "sparse": sparse}
    return run_task(run, EVALUATE, config, label, **inputs, **models)


def general(
    run: RunContext,
    config: General,
    *,
    models: Mapping[str, ArtifactRef],
    label: str = "",
) -> ArtifactRef:
    """Models on general retrieval and similarity sets: ``general``."""
    return run_task(run, GENERAL, config, label, **models)


def choice(
    run: RunContext,
    config: Evaluate,
    *,
    evaluation: ArtifactRef,
    student: ArtifactRef | None = None,
    reranker: ArtifactRef | None = None,
    reranking: ArtifactRef | None = None,
    label: str = "",
) -> ArtifactRef:
    """What every evaluated way to search costs here, a student and a served reranker too: a ``choice``."""
    inputs = {"evaluation": evaluation, "student": student, "reranker": reranker, "reranking": reranking}
    return run_task(run, CHOICE, config, label, **inputs)


def decide(
    run: RunContext,
    config: Decide,
    *,
    evaluation: ArtifactRef,
    examples: ArtifactRef | None = None,
    reranking: ArtifactRef | None = None,
    label: str = "",
) -> ArtifactRef:
    """Promote, or keep what is live, with reasons: a ``decision``."""
    inputs = {"evaluation": evaluation, "examples": examples, "reranking": reranking}
    return run_task(run, DECIDE, config, label, **inputs)


def index(
    run: RunContext,
    config: Index,
    *,
    corpus: ArtifactRef,
    vectors: ArtifactRef,
    model: ArtifactRef,
    queries: ArtifactRef | None = None,
    sparse: ArtifactRef | None = None,
    label: str = "",
) -> ArtifactRef:
    """A FAISS index, chosen and tuned by measurement: an ``index``."""
    inputs = {"corpus": corpus, "vectors": vectors, "model": model, "queries": queries, "sparse": sparse}
    return run_task(run, INDEX, config, label, **inputs)


def report(
    run: RunContext,
    config: Report,
    *,
    evaluation: ArtifactRef,
    others: Mapping[str, ArtifactRef],
    label: str = "",
) -> ArtifactRef:
    """What happened and why, for people: a ``report``."""
    return run_task(run, REPORT, config, label, evaluation=evaluation, **others)


def distil(
    run: RunContext,
    config: Distil,
    *,
    corpus: ArtifactRef,
    queries: ArtifactRef,
    model: ArtifactRef,
    vectors: ArtifactRef,
    label: str = "",
) -> ArtifactRef:
    """A smaller student that gives its teacher's vectors: a ``model``."""
    return run_task(run, DISTIL, config, label, corpus=corpus, queries=queries, model=model, vectors=vectors)


def student(
    run: RunContext,
    config: Distil,
    *,
    corpus: ArtifactRef,
    evaluation: ArtifactRef,
    teacher: ArtifactRef,
    student: ArtifactRef,
    label: str = "",
) -> ArtifactRef:
    """Whether a student takes its teacher's place, and what that buys: a ``decision``."""
    inputs = {"corpus": corpus, "evaluation": evaluation, "teacher": teacher, "student": student}
    return run_task(run, STUDENT, config, label, **inputs)


def reranker(
    run: RunContext,
    config: Rerank,
    *,
    corpus: ArtifactRef,
    queries: ArtifactRef,
    examples: ArtifactRef,
    model: ArtifactRef | None,
    label: str = "",
) -> ArtifactRef:
    """A cross-encoder trained on the mined lists, from ``model`` or the one named: a ``reranker``."""
    inputs = {"corpus": corpus, "queries": queries, "examples": examples, "model": model}
    return run_task(run, RERANKER, config, label, **inputs)


def reranking(  # noqa: PLR0913 - an argument an artifact
    run: RunContext,
    config: Reranking,
    *,
    corpus: ArtifactRef,
    queries: ArtifactRef,
    model: ArtifactRef,
    vectors: ArtifactRef,
    reranker: ArtifactRef,
    decision: ArtifactRef | None = None,
    sparse: ArtifactRef | None = None,
    label: str = "",
) -> ArtifactRef:
    """Whether the reranker is served, how deep and with what weight: a ``decision``."""
    inputs = {"corpus": corpus, "queries": queries, "model": model, "vectors": vectors, "sparse": sparse}
    return run_task(run, RERANKING, config, label, **inputs, reranker=reranker, decision=decision)

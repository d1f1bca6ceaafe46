"""What flows pass on between stages, and the steps that several of them share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from embedlib.artifact import ArtifactRef
from embedlib.config.root import Config
from embedlib.evaluation.records import Decision
from embedlib.pairs.report import ProbeResult
from tasks import stages
from tasks.context import RunContext
from tasks.encode import encode
from tasks.release import live_release

#: Parts of a release that belong to its model.
OF_MODEL = ("reranker", "reranking")


class Data(NamedTuple):
    """What every later stage reads."""

    corpus: ArtifactRef
    queries: ArtifactRef


class Encoded(NamedTuple):
    """A model and the corpus as it encodes it: they never travel apart."""

    model: ArtifactRef
    vectors: ArtifactRef

    def same_model(self, other: Encoded) -> bool:
        """Whether the other model has the same content, whatever it was made from."""
        return self.model.digest == other.model.digest


class Proof(NamedTuple):
    """A candidate, its evaluation beside the others, and what was decided."""

    candidate: Encoded
    evaluation: ArtifactRef
    decision: ArtifactRef

    @property
    def verdict(self) -> str:
        """The decision in one word."""
        return Decision.read(self.decision.path).verdict


def measure(
    run: RunContext,
    config: Config,
    data: Data,
    systems: Mapping[str, Encoded],
    label: str,
    decision: ArtifactRef | None,
) -> ArtifactRef:
    """Models side by side, alone and as they would be served; what is live as its ``decision`` says."""
    models = {name: system.model for name, system in systems.items()}
    models |= {f"{name}_vectors": system.vectors for name, system in systems.items()}
    sparse = stages.sparse(run, config.sparse, corpus=data.corpus)
    inputs = {**data._asdict(), "decision": decision, "sparse": sparse}
    return stages.evaluate(run, config.served_evaluation, label, **inputs, **models)


def encoded(run: RunContext, config: Config, data: Data, model: ArtifactRef, label: str) -> Encoded:
    """The corpus as a model encodes it."""
    return Encoded(model, encode(run, config, label=label, corpus=data.corpus, model=model))


def caught_up(
    run: RunContext, config: Config, data: Data, chosen: Encoded, live: Mapping[str, ArtifactRef]
) -> tuple[Data, Encoded]:
    """The documents that went live while the run worked on those of ``live``, encoded with its model.

    A refresh may have come in between: its documents are newer than those that the run has read.
    """
    now = live_release(run, optional=True)
    if now is None or now["corpus"].digest == live["corpus"].digest:
        return data, chosen
    newer = Data(now["corpus"], data.queries)
    return newer, encoded(run, config, newer, chosen.model, "caught up")


def indexed(run: RunContext, config: Config, data: Data, chosen: Encoded, label: str = "") -> ArtifactRef:
    """The index of what a model made of the corpus."""
    sparse = stages.sparse(run, config.sparse, corpus=data.corpus)
    return stages.index(run, config.index, label, **data._asdict(), **chosen._asdict(), sparse=sparse)


def lessons(run: RunContext, config: Config, data: Data, start: Encoded) -> dict[str, ArtifactRef]:
    """What a model is trained on: pairs, which of their origins help, and examples, if any pair is left."""
    pairs = stages.synthesize(run, config.synthesize, **data._asdict(), **start._asdict())
    probed = stages.probe(run, config.probe, **data._asdict(), **start._asdict(), pairs=pairs)
    if not ProbeResult.read(probed.path).kept:
        return {"pairs": pairs, "probe": probed}
    examples = stages.mine(run, config.mine, **data._asdict(), **start._asdict(), pairs=pairs, probe=probed)
    return {"pairs": pairs, "probe": probed, "examples": examples}


def tune(
    run: RunContext, config: Config, data: Data, start: Encoded, examples: ArtifactRef | None
) -> ArtifactRef:
    """A model adapted, where that is wanted, and fine-tuned on examples, where there are any."""
    adapt = config.adapt.method != "none"
    model = stages.adapt(run, config.adapt, **data._asdict(), model=start.model) if adapt else start.model
    if examples is None:
        return model
    return stages.train(run, config.train, **data._asdict(), examples=examples, model=model)


def wanted_student(
    run: RunContext, config: Config, data: Data, teacher: Encoded, why: ArtifactRef
) -> Proof | None:
    """The student for ``distil.objective`` with its proof, if one is wanted; no student has a student."""
    if config.distil.objective == "quality" or teacher.model.manifest.stage == "distil":
        return None
    return distilled(run, config, data, teacher, why)


def distilled(
    run: RunContext, config: Config, data: Data, teacher: Encoded, why: ArtifactRef | None
) -> Proof:
    """Distil a student, encode the corpus with it, and test it against its teacher, both as served."""
    model = stages.distil(run, config.distil.training, **data._asdict(), **teacher._asdict())
    student = encoded(run, config, data, model, "student")
    evaluation = measure(run, config, data, {"teacher": teacher, "student": student}, "student", why)
    decision = stages.student(
        run,
        config.distil,
        corpus=data.corpus,
        evaluation=evaluation,
        teacher=teacher.model,
        student=student.model,
    )
    return Proof(student, evaluation, decision)


def reranked(
    run: RunContext,
    config: Config,
    data: Data,
    base: Encoded,
    served: Encoded,
    material: Mapping[str, ArtifactRef],
    why: ArtifactRef | None,
) -> dict[str, ArtifactRef]:
    """A reranker trained on lists from the served model's own hits, and whether it is served with it."""
    lists = {name: material[name] for name in ("pairs", "probe")}
    examples = stages.mine(
        run, config.mine.for_reranker, "reranker", **data._asdict(), **served._asdict(), **lists
    )
    start = {"base": base.model, "served": served.model}.get(config.rerank.start or "")
    reranker = stages.reranker(run, config.rerank.training, **data._asdict(), examples=examples, model=start)
    sparse = stages.sparse(run, config.sparse, corpus=data.corpus)
    inputs = {**data._asdict(), **served._asdict(), "reranker": reranker, "decision": why, "sparse": sparse}
    reranking = stages.reranking(run, config.reranking, **inputs)
    return {"reranker": reranker, "reranking": reranking}


def kept_reranker(live: Mapping[str, ArtifactRef], served: Encoded) -> dict[str, ArtifactRef]:
    """The live release's reranker, for a release of the same model."""
    same = live["model"].digest == served.model.digest
    return {name: live[name] for name in OF_MODEL if same and name in live}


def proven_parts(parts: Mapping[str, ArtifactRef]) -> dict[str, ArtifactRef]:
    """The reranker's parts of a release where its decision is to serve it; none otherwise."""
    is_proven = "reranking" in parts and Decision.read(parts["reranking"].path).verdict == "promote"
    return {name: parts[name] for name in OF_MODEL} if is_proven else {}

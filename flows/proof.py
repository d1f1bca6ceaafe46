"""What flows pass on between stages: the data, a model with its vectors, and what was proven of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from embedlib.artifact import ArtifactRef
from embedlib.config.root import Config
from embedlib.evaluation.records import Decision
from tasks import stages
from tasks.context import RunContext
from tasks.encode import encode


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


def indexed(run: RunContext, config: Config, data: Data, chosen: Encoded, label: str = "") -> ArtifactRef:
    """The index of what a model made of the corpus."""
    sparse = stages.sparse(run, config.sparse, corpus=data.corpus)
    return stages.index(run, config.index, label, **data._asdict(), **chosen._asdict(), sparse=sparse)

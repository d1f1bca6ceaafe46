"""What is known of a release's model: where it comes from, what it was trained on, what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from embedlib.artifact import ArtifactRef
from embedlib.corpus.profile import CorpusProfile
from embedlib.corpus.splits import SplitReport
from embedlib.evaluation.lineage import Provenance, model_line
from embedlib.evaluation.records import Decision, EvaluationRecord
from embedlib.index.catalog import Release
from embedlib.json_file import JsonFile
from embedlib.models.catalog import load_catalog
from embedlib.vectors import VectorsInfo

File = TypeVar("File", bound=JsonFile)
#: How the release's model may be called in the evaluation that its decision read.
_SYSTEMS = ("candidate", "student", "incumbent", "base")


@dataclass(frozen=True)
class ModelFacts:
    """What the card says.

    Args:
        origin: What the model began as: prompts and length, which tuning leaves alone.
        dimension: Components of its vectors; None where the workspace no longer has them.
        steps: What made it from the base, the last step first: stage and its options.
        base: Name of the base model.
        licence: SPDX identifier of the base model's licence; empty when not known.
        system: What the evaluation calls this model; empty when it was not in it.
        decision: Of the release, where it has one.
        evaluation: Behind that decision.
        corpus: Profile of the documents.
        queries: Report of the splits.
        pairs: Summary of the training pairs.
    """

    origin: Provenance
    dimension: int | None
    steps: list[tuple[str, Mapping[str, Any]]]
    base: str
    licence: str
    system: str
    decision: Decision | None
    evaluation: EvaluationRecord | None
    corpus: CorpusProfile | None
    queries: SplitReport | None
    pairs: Mapping[str, Any]


def model_facts(root: Path, release: Release) -> ModelFacts:
    """Gather what the workspace still has of a release's model; parts that were removed are left empty."""
    model = release.ref(root, "model")
    line = list(model_line(model))
    origin = next((ref for ref in line if all(p.kind != "model" for p in ref.parents.values())), line[-1])
    base, licence = _base(origin)
    decision = release.ref(root, "decision") if "decision" in release.parts else None
    evaluation = evaluation_of(root, release)
    examples = _parent(decision, "examples")
    vectors = _read(release.ref(root, "vectors"), VectorsInfo)
    return ModelFacts(
        origin=Provenance.of(origin.path),
        dimension=None if vectors is None else vectors.dimension,
        steps=[(ref.manifest.stage, ref.manifest.config) for ref in line if ref is not origin],
        base=base,
        licence=licence,
        system=system_of(model, evaluation),
        decision=Decision.read(decision.path) if decision is not None and decision.exists else None,
        evaluation=EvaluationRecord.read(evaluation.path) if evaluation is not None else None,
        corpus=_read(release.ref(root, "corpus"), CorpusProfile),
        queries=_read(_parent(evaluation, "queries"), SplitReport),
        pairs=_summary(_parent(examples, "pairs")) if model is not origin else {},
    )


def _base(model: ArtifactRef) -> tuple[str, str]:
    """Name and licence of the model that the line begins with; the hub's name where it is known."""
    source = Provenance.of(model.path).source or "unknown"
    name = source.partition("@")[0]
    for known in load_catalog():
        if name in (known.name, known.name.rpartition("/")[2]):
            return known.name, known.licence
    return name, ""


def evaluation_of(root: Path, release: Release) -> ArtifactRef | None:
    """What the release's decision read; None where the workspace no longer has it."""
    return _parent(release.ref(root, "decision") if "decision" in release.parts else None, "evaluation")


def system_of(model: ArtifactRef, evaluation: ArtifactRef | None) -> str:
    """What the evaluation calls this model; empty when it was not in it."""
    parents = evaluation.parents if evaluation else {}
    same = (n for n in _SYSTEMS if n in parents and parents[n].exists and parents[n].digest == model.digest)
    return next(same, "")


def _parent(ref: ArtifactRef | None, name: str) -> ArtifactRef | None:
    found = ref.parents.get(name) if ref is not None and ref.exists else None
    return found if found is not None and found.exists else None


def _read(ref: ArtifactRef | None, kind: type[File]) -> File | None:
    return kind.read(ref.path) if ref is not None and ref.file(kind.FILE).is_file() else None


def _summary(ref: ArtifactRef | None) -> dict[str, Any]:
    return dict(ref.manifest.summary) if ref is not None else {}

"""Students of a live model beside model2vec's of the same model, in one run.

    pip install "model2vec[distill]"
    python -m benchmarks.student WORKSPACE

The teacher is the workspace's live model, the collection and its judged test queries are the live
release's. ``layers`` (half of them) and ``static`` are what ``embedlib distil --objective balanced`` and
``--objective speed`` train, artifacts of theirs are reused; ``model2vec`` is its ``distill`` with
every default. Quality is nDCG@10 by vectors alone; documents a second are measured in turn on the same
4,096 documents. The exit code is 1 where ``static`` falls behind model2vec's.
"""

from __future__ import annotations

import sys
import tempfile
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.workspace import arguments, machine
from embedlib.artifact import ArtifactRef
from embedlib.config.models import Encode, Model
from embedlib.config.training import Distil
from embedlib.contracts import Corpus
from embedlib.evaluation.judged import JudgedSet, primary_set, read_judged
from embedlib.evaluation.model_on_set import DenseSystem, ModelOnSet, own_rows_of
from embedlib.evaluation.significance import bootstrap_means
from embedlib.evaluation.statistics import Resampling
from embedlib.evaluation.systems import query_values
from embedlib.index.release_parts import live_parts
from embedlib.models.efficiency import Cost, compare_costs
from embedlib.models.local import load_encoder
from embedlib.stages import distil, encode, pin
from embedlib.stages.base import run_stage
from embedlib.store import Store
from embedlib.vectors import Vectors

Values = npt.NDArray[np.float64]
MEASURE, DEPTH, TIMED = "nDCG@10", 100, 4096


def main() -> int:
    """Print a row a model; 1 where the static student is worse than model2vec's."""
    parser = arguments(__doc__)
    parser.add_argument("workspace", type=Path)
    store = Store(parser.parse_args().workspace)
    parts = live_parts(store)
    if parts is None:
        parser.error("nothing is live there: run `embedlib run` first")
    documents, queries = Corpus(parts["corpus"].path), parts["queries"]
    judged = primary_set(read_judged(documents, queries.path, "test"))
    if judged is None:
        parser.error("the live release has no judged test queries")
    models = students(store, parts)
    values = {name: quality(store, parts["corpus"], judged, model) for name, model in models.items()}
    encoders = {name: (load_encoder(ref.path, dtype="auto"), ref.path) for name, ref in models.items()}
    costs = compare_costs(encoders, list(islice(documents.texts(), TIMED)))
    print(machine())
    show(values, costs)
    return int(values["static"].mean() < values["model2vec"].mean())


def students(store: Store, parts: dict[str, ArtifactRef]) -> dict[str, ArtifactRef]:
    """The teacher and its students as model artifacts, by name."""
    from model2vec.distill import distill
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    found = {"teacher": parts["model"]}
    for kind in ("layers", "static"):
        found[kind] = run_stage(
            store,
            distil.STAGE,
            Distil(student=kind).training,
            corpus=parts["corpus"],
            queries=parts["queries"],
            model=parts["model"],
            vectors=parts["vectors"],
        ).ref
    with tempfile.TemporaryDirectory() as folder:
        distill(str(parts["model"].path)).save_pretrained(f"{folder}/model2vec")
        static = StaticEmbedding.from_model2vec(f"{folder}/model2vec")
        SentenceTransformer(modules=[static]).save(f"{folder}/model")
        found["model2vec"] = run_stage(store, pin.STAGE, Model(name=f"{folder}/model")).ref
    return found


def quality(store: Store, corpus: ArtifactRef, judged: JudgedSet, model: ArtifactRef) -> Values:
    """The measure of each query by a model's vectors alone, [q]."""
    documents = Corpus(corpus.path)
    vectors = run_stage(store, encode.STAGE, Encode(), corpus=corpus, model=model).ref
    system = DenseSystem("it", load_encoder(model.path), Vectors(vectors.path))
    hits = ModelOnSet(judged, system, None, own_rows_of(documents, judged)).dense(judged.reach(DEPTH))
    return query_values(judged, hits, MEASURE, DEPTH)


def show(values: dict[str, Values], costs: dict[str, Cost]) -> None:
    """The table: quality with its interval, what is kept of the teacher, speed, size."""
    teacher, slow = values["teacher"].mean(), costs["teacher"].texts_per_s
    asked = f"{MEASURE}, {len(values['teacher'])} queries"
    print(f"| model | {asked} | kept | documents/s | times | ms a query | MB |")
    print("|---|---|---|---|---|---|---|")
    for name, found in values.items():
        (interval,) = bootstrap_means(found[:, None], Resampling(np.random.default_rng(0)))
        cost = costs[name]
        print(
            f"| {name} | {found.mean():.4f} ({interval.low:.4f} … {interval.high:.4f}) "
            f"| {found.mean() / teacher:.1%} | {cost.texts_per_s:,.0f} | {cost.texts_per_s / slow:.1f} "
            f"| {cost.query_ms:.1f} | {cost.disk_mb:.0f} |"
        )


if __name__ == "__main__":
    sys.exit(main())

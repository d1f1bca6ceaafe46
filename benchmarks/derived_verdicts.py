"""Do queries derived from documents judge as people do? Untrained systems on sets with human labels.

    python -m benchmarks.derived_verdicts [--sets cranfield cacm climatefever nfcorpus nl2bash]

Each set is judged twice: by its human test queries, and by the test queries that are derived when its
labels are hidden. The table shows nDCG@10 of the vectors alone, of BM25, and of both fused with
several weights; then, for pairs of systems, what either kind of query says (better, worse, or no
difference shown: a paired bootstrap interval), and whether the two agree. The exit code is 1 when
they contradict each other on a pair (one says better, the other worse).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.workspace import DATA, WORKSPACE, machine
from embedlib.config.data import BeirLabels, BeirSource, Ingest, NoLabels, Split
from embedlib.config.models import Encode, Model
from embedlib.contracts import Corpus, Vectors
from embedlib.evaluation.judged import JudgedSet, read_judged
from embedlib.evaluation.model_on_set import DenseSystem, ModelOnSet, own_rows_of
from embedlib.evaluation.significance import bootstrap_means
from embedlib.evaluation.systems import Options, score_hits
from embedlib.models.local import load_encoder
from embedlib.retrieval.bm25 import build_bm25
from embedlib.retrieval.plan import BM25, DENSE, HYBRID, Feedback, SearchPlan
from embedlib.stages import base_model, encode, ingest, split
from embedlib.stages.base import run_stage
from embedlib.store import ArtifactRef, Store

SETS = ("cranfield", "cacm", "climatefever", "nfcorpus", "nl2bash")
MEASURE, DEPTH = "nDCG@10", 100
RRF = SearchPlan(mode="hybrid", fusion="rrf")
PLANS = {
    "dense": DENSE,
    **{f"+{w:g}": SearchPlan(mode="hybrid", weight=w) for w in (0.1, 0.2, 0.3, 0.5, 1.0)},
    "bm25": BM25,
    "rrf": RRF,
    "+.3 fb": HYBRID.model_copy(update={"feedback": Feedback()}),
}
#: Pairs of systems whose order a verdict may depend on.
PAIRS = (
    ("bm25", "dense"),
    ("+0.3", "dense"),
    ("+0.3", "bm25"),
    ("+1", "+0.3"),
    ("+0.1", "+0.3"),
    ("+.3 fb", "+0.3"),
)

Values = dict[str, npt.NDArray[np.float64]]


def main() -> int:
    """Print both tables; 1 when the two kinds of query contradict each other somewhere."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="*", default=SETS)
    parser.add_argument("--workspace", type=Path, default=WORKSPACE)
    options = parser.parse_args()
    print(machine())
    print("| set | queries | n | " + " | ".join(PLANS) + " | best |")
    print("|---|---|---|" + "---|" * (len(PLANS) + 1))
    found: dict[str, dict[str, Values]] = {}
    for name in options.sets:
        found[name] = judged_twice(Store(options.workspace), DATA / name)
        for kind, values in found[name].items():
            means = {plan: float(v.mean()) for plan, v in values.items()}
            n = len(values["dense"])
            cells = " | ".join(f"{mean:.4f}" for mean in means.values())
            print(f"| {name} | {kind} | {n} | {cells} | {max(means, key=means.__getitem__)} |", flush=True)
    return verdicts(found)


def verdicts(found: dict[str, dict[str, Values]]) -> int:
    """The table of pairs; 1 when a pair is better by one kind of query and worse by the other."""
    print("\n| set | " + " | ".join(f"{a} against {b}" for a, b in PAIRS) + " | agree |")
    print("|---|" + "---|" * (len(PAIRS) + 1))
    contradictions = same = total = 0
    for name, kinds in found.items():
        cells, agreed = [], 0
        for pair in PAIRS:
            human, derived = (says(kinds[kind], *pair) for kind in ("human", "derived"))
            cells.append(human if human == derived else f"{human}, derived {derived}")
            agreed += human == derived
            contradictions += {human, derived} == {"better", "worse"}
        same, total = same + agreed, total + len(PAIRS)
        print(f"| {name} | " + " | ".join(cells) + f" | {agreed} of {len(PAIRS)} |")
    print(f"\n{same} of {total} verdicts agree, {contradictions} contradict")
    return int(contradictions > 0)


def says(values: Values, system: str, baseline: str) -> str:
    """Better, worse, or "same": no difference shown at 95 %."""
    difference = (values[system] - values[baseline])[:, None]
    (interval,) = bootstrap_means(difference, rng=np.random.default_rng(0))
    return "better" if interval.low > 0 else "worse" if interval.high < 0 else "same"


def judged_twice(store: Store, folder: Path) -> dict[str, Values]:
    """Every plan's values on the human test queries, and on those derived with the labels hidden."""
    corpus = run_stage(store, ingest.STAGE, Ingest(source=BeirSource(path=folder))).ref
    model = run_stage(store, base_model.STAGE, Model()).ref
    vectors = run_stage(store, encode.STAGE, Encode(), corpus=corpus, model=model).ref
    parts = {"corpus": corpus, "model": model, "vectors": vectors}
    labelled = run_stage(store, split.STAGE, Split(labels=BeirLabels(path=folder)), corpus=corpus).ref
    hidden = run_stage(store, split.STAGE, Split(labels=NoLabels()), corpus=corpus).ref
    return {
        "human": evaluated(parts, labelled, "human"),
        "derived": evaluated(parts, hidden, "derived"),
    }


def evaluated(parts: dict[str, ArtifactRef], queries: ArtifactRef, kind: str) -> Values:
    """Values of each plan on the test queries of a kind."""
    corpus = Corpus(parts["corpus"].path)
    judged: JudgedSet = read_judged(corpus, queries.path, "test")[kind]
    encoder: Any = load_encoder(parts["model"].path)
    system = DenseSystem("base", encoder, Vectors(parts["vectors"].path))
    own = own_rows_of(corpus, judged)
    on_set = ModelOnSet(judged, system, build_bm25(judged.texts(corpus.texts())), own)
    reach = min(judged.reach(DEPTH) + max(map(len, own), default=0), len(judged.labels))
    gathered = on_set.gather(reach)
    hits = {name: on_set.fuse(gathered, reach, plan) for name, plan in PLANS.items() if plan.mode == "hybrid"}
    hits |= {"dense": gathered.dense, "bm25": gathered.lexical}
    options = Options(measures=(MEASURE,), depth=DEPTH)
    return {name: score_hits(judged, hits[name], options, name)[MEASURE] for name in PLANS}


if __name__ == "__main__":
    sys.exit(main())

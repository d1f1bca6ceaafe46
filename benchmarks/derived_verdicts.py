"""Do queries derived from documents judge as people do? Systems on sets with human labels.

    python -m benchmarks.derived_verdicts [--sets cranfield cacm climatefever nfcorpus nl2bash]
        [--tuned nl2bash=WORKSPACE/artifacts/model/ID …]

Each set is judged twice: by its human test queries, and by the test queries that are derived when its
labels are hidden. The first table shows nDCG@10 of the vectors alone, of BM25, and of both fused
with several weights; the second, for pairs of systems, what either kind of query says (better, worse,
or no difference shown: a paired bootstrap interval), and whether the two agree; the third the plan
that either kind of development query would choose, and what that plan reaches on the human test
queries. A model that was trained on a set is judged beside its base. The exit code is 1 when the two
contradict each other on a pair (better, and worse).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.workspace import DATA, WORKSPACE, arguments, machine
from embedlib.artifact import ArtifactRef
from embedlib.config.data import BeirLabels, BeirSource, Ingest, NoLabels, Split
from embedlib.config.models import Encode, Model
from embedlib.contracts import Corpus
from embedlib.evaluation.judged import JudgedSet, read_judged
from embedlib.evaluation.model_on_set import DenseSystem, ModelOnSet, own_rows_of
from embedlib.evaluation.served import choose_plan
from embedlib.evaluation.significance import bootstrap_means
from embedlib.evaluation.statistics import Resampling
from embedlib.evaluation.systems import query_values
from embedlib.models.local import load_encoder
from embedlib.retrieval.bm25 import BM25Index, build_bm25
from embedlib.retrieval.plan import BM25, DENSE, HYBRID, Feedback, SearchPlan
from embedlib.stages import encode, ingest, pin, split
from embedlib.stages.base import run_stage
from embedlib.store import Store
from embedlib.vectors import Vectors

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
#: The same of a model that was trained on the set, where one is given.
TUNED = {"tuned": "dense", "tuned +0.3": "+0.3"}

Values = dict[str, npt.NDArray[np.float64]]


def main() -> int:
    """Print both tables; 1 when the two kinds of query contradict each other somewhere."""
    parser = arguments(__doc__)
    parser.add_argument("--sets", nargs="*", default=SETS)
    parser.add_argument("--workspace", type=Path, default=WORKSPACE)
    parser.add_argument("--tuned", nargs="*", default=[], metavar="SET=MODEL")
    options = parser.parse_args()
    tuned = {name: Path(model) for name, model in (given.split("=", 1) for given in options.tuned)}
    columns = (*PLANS, *(TUNED if tuned else ()))
    print(machine())
    print("| set | queries | n | " + " | ".join(columns) + " |")
    print("|---|---|---|" + "---|" * len(columns))
    found: dict[str, dict[str, Values]] = {}
    choices: list[str] = []
    for name in options.sets:
        store, model = Store(options.workspace), tuned.get(name)
        both = [Judged(store, DATA / name, kind, model) for kind in ("human", "derived")]
        found[name] = {one.kind: one.every_system() for one in both}
        for one in both:
            plan = one.chosen()
            reached = "" if plan is None else f"{both[0].test_values({'it': plan})['it'].mean():.4f}"
            choices.append(f"| {name} | {one.kind} | {plan or 'no dev queries'} | {reached} |")
        for kind, values in found[name].items():
            means = {system: float(v.mean()) for system, v in values.items()}
            best = max(means, key=means.__getitem__)
            cells = [
                f"{'**' * (s == best)}{means[s]:.4f}{'**' * (s == best)}" if s in means else ""
                for s in columns
            ]
            print(f"| {name} | {kind} | {len(values['dense'])} | {' | '.join(cells)} |", flush=True)
    print("\n| set | dev queries | chosen | on human test |\n|---|---|---|---|")
    print("\n".join(choices))
    return verdicts(found)


def verdicts(found: dict[str, dict[str, Values]]) -> int:
    """The table of pairs; 1 when a pair is better by one kind of query and worse by the other."""
    trained = any("tuned" in kinds["human"] for kinds in found.values())
    pairs = (*PAIRS, *(TUNED.items() if trained else ()))
    print("\n| set | " + " | ".join(f"{a} against {b}" for a, b in pairs) + " | agree |")
    print("|---|" + "---|" * (len(pairs) + 1))
    contradictions = same = total = 0
    for name, kinds in found.items():
        cells, agreed = [], 0
        there = [pair for pair in pairs if pair[0] in kinds["human"]]
        for pair in there:
            human, derived = (says(kinds[kind], *pair) for kind in ("human", "derived"))
            cells.append(human if human == derived else f"{human}, derived {derived}")
            agreed += human == derived
            contradictions += {human, derived} == {"better", "worse"}
        same, total = same + agreed, total + len(there)
        cells += [""] * (len(pairs) - len(there))
        print(f"| {name} | " + " | ".join(cells) + f" | {agreed} of {len(there)} |")
    print(f"\n{same} of {total} verdicts agree, {contradictions} contradict")
    return int(contradictions > 0)


def says(values: Values, system: str, baseline: str) -> str:
    """Better, worse, or "same": no difference shown at 95 %."""
    difference = (values[system] - values[baseline])[:, None]
    (interval,) = bootstrap_means(difference, Resampling(np.random.default_rng(0)))
    return "better" if interval.low > 0 else "worse" if interval.high < 0 else "same"


class Judged:
    """A collection with its own labels (``human``), or with queries derived without them (``derived``)."""

    def __init__(self, store: Store, folder: Path, kind: str, tuned: Path | None) -> None:
        labels = BeirLabels(path=folder) if kind == "human" else NoLabels()
        corpus = run_stage(store, ingest.STAGE, Ingest(source=BeirSource(path=folder))).ref
        model = run_stage(store, pin.STAGE, Model()).ref
        encoded = [self._encoded(store, corpus, model)]
        if tuned is not None:
            trained = run_stage(store, pin.STAGE, Model(name=str(tuned))).ref
            encoded.append(self._encoded(store, corpus, trained))
        self.queries = run_stage(store, split.STAGE, Split(labels=labels), corpus=corpus).ref.path
        self.kind, self.corpus = kind, Corpus(corpus.path)
        self.system, *self.tuned = encoded

    @staticmethod
    def _encoded(store: Store, corpus: ArtifactRef, model: ArtifactRef) -> DenseSystem:
        vectors = run_stage(store, encode.STAGE, Encode(), corpus=corpus, model=model).ref
        return DenseSystem("it", load_encoder(model.path), Vectors(vectors.path))

    def every_system(self) -> Values:
        """Values of the base by every plan, and of the trained model by those that are compared."""
        values = self.test_values(PLANS)
        for system in self.tuned:
            by_plan = self.test_values({plan: PLANS[plan] for plan in TUNED.values()}, system)
            values |= {name: by_plan[plan] for name, plan in TUNED.items()}
        return values

    def test_values(self, plans: dict[str, SearchPlan], system: DenseSystem | None = None) -> Values:
        """Values of each plan on the test queries, of the base if nothing else is given."""
        judged = read_judged(self.corpus, self.queries, "test")[self.kind]
        on_set = ModelOnSet(
            judged, system or self.system, self._bm25(judged), own_rows_of(self.corpus, judged)
        )
        depth = judged.reach(DEPTH)
        gathered = on_set.gather(depth)
        hits = {name: on_set.answers(gathered, depth, plan) for name, plan in plans.items()}
        return {name: query_values(judged, found, MEASURE, DEPTH) for name, found in hits.items()}

    def chosen(self) -> SearchPlan | None:
        """The plan that the development queries would choose, whoever wrote them; None without any."""
        dev = read_judged(self.corpus, self.queries, "dev").get(self.kind)
        if dev is None:
            return None
        return choose_plan(
            self.corpus,
            dev,
            self.system,
            HYBRID,
            bm25=lambda: self._bm25(dev),
            measure=MEASURE,
            rng=np.random.default_rng(0),
        ).plan

    def _bm25(self, judged: JudgedSet) -> BM25Index:
        return build_bm25(judged.texts(self.corpus.texts()))


if __name__ == "__main__":
    sys.exit(main())

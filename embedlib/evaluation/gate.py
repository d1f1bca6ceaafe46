"""The promotion gate: from figures to a decision, by rule, with reasons.

A model is promoted only if it is *proven* better: its paired interval lies above zero, the
randomization test agrees, and the gain is worth having. Whatever is missing, leaked or too small
to tell ends as ``not-enough-evidence``, never as a promotion.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from embedlib.evaluation.compare import Comparison
from embedlib.evaluation.gate_inputs import GateInputs, GuardFigure, SliceFigure
from embedlib.retrieval.plan import DENSE, HYBRID, SearchPlan

Verdict = Literal["promote", "keep", "merge-and-retest", "do-not-fine-tune", "not-enough-evidence"]

#: Names that models are evaluated under.
MODELS = ("base", "incumbent", "candidate")

KINDS = {
    "human": "queries labelled by people",
    "log": "queries from click logs",
    "derived": "queries derived from documents",
}


@dataclass(frozen=True)
class Policy:
    """What a candidate must show.

    Args:
        min_effect: Least gain of the primary measure over what it replaces.
        min_queries: Fewer answerable queries decide nothing.
        level: Two-sided confidence; the randomization test must give p <= 1 - level. The test is exact, so
            that a candidate without any gain passes it with probability (1 - level) / 2.
        slice_floor: Most that a slice may lose.
        slice_queries: Smaller slices are shown and not judged.
        min_index_recall: Least measured recall of an index, where one is given.
    """

    min_effect: float = 0.01
    min_queries: int = 20
    level: float = 0.965
    slice_floor: float = 0.03
    slice_queries: int = 30
    min_index_recall: float = 0.95


@dataclass(frozen=True)
class History:
    """What happened before.

    Args:
        uses: Decisions already made with this test set; each further one weakens its word.
    """

    uses: int = 0


@dataclass(frozen=True)
class Decision:
    """The verdict, why, and what follows.

    Args:
        verdict: What is to be done.
        headline: The verdict in one sentence.
        reasons: Sentences with the numbers, the weightiest first.
        advice: What the owner may do about it.
        decided_on: Kind of judgements that decided.
        numbers: The same for machines.
        search: For each model evaluated, how it is searched with best: fused with BM25 where that is proven
            better than the model alone.
        uses: How often this test set had decided before.
    """

    verdict: Verdict
    headline: str
    reasons: tuple[str, ...]
    advice: tuple[str, ...]
    decided_on: str | None
    numbers: dict[str, Any]
    search: dict[str, SearchPlan] = field(default_factory=dict)
    uses: int = 0

    def as_json(self) -> dict[str, Any]:
        """The decision as JSON values, without ``uses``: the same figures give the same bytes."""
        value = asdict(self)
        del value["uses"]
        value["search"] = {name: plan.model_dump(mode="json") for name, plan in self.search.items()}
        return value


def decide(figures: GateInputs, policy: Policy, history: History = History()) -> Decision:
    """Judge a candidate.

    Args:
        figures: What the evaluation found.
        policy: What a candidate must show.
        history: Earlier decisions on the same test set.

    Returns:
        ``promote``: proven better than what it replaces (the incumbent if there is one, else the
        base), not worse than the base, no guard and no slice past its floor.
        ``merge-and-retest``: all of that except a guard: weights interpolated with the base may keep both.
        ``do-not-fine-tune``: no incumbent, and the base, BM25 or their hybrid is as good or better.
        ``keep``: the incumbent (or base) stays for any other reason.
        ``not-enough-evidence``: the test set cannot tell.
    """
    verdict, reasons = _judge(figures, policy)
    search = best_search(figures, policy)
    return Decision(
        verdict=verdict,
        headline=_headline(verdict, figures),
        reasons=(*reasons, *figures.cautions),
        advice=tuple(_advice(verdict, figures, search)),
        decided_on=figures.decides,
        numbers={
            "measure": figures.primary,
            "queries": figures.queries,
            "systems": {name: interval._asdict() for name, interval in figures.systems.items()},
            "comparisons": [c.as_json() for c in figures.comparisons],
            "guards_failed": [g.name for g in figures.guards if not g.passed],
            "leaks": len(figures.leaks),
        },
        search=search,
        uses=history.uses,
    )


def proven(comparison: Comparison, policy: Policy) -> bool:
    """Whether a gain is shown by interval and by test, and is worth having."""
    d = comparison.difference
    return d.low > 0 and comparison.p <= 1 - policy.level + 1e-12 and d.mean >= policy.min_effect


def best_search(figures: GateInputs, policy: Policy) -> dict[str, SearchPlan]:
    """For each model: fused with BM25 where that is proven better, else by its vectors."""
    shown = figures.comparisons if figures.queries >= policy.min_queries else ()
    better = {c.baseline for c in shown if c.system == f"hybrid:{c.baseline}" and proven(c, policy)}
    return {name: HYBRID if name in better else DENSE for name in MODELS if name in figures.systems}


def failing_slices(slices: Sequence[SliceFigure], policy: Policy) -> list[SliceFigure]:
    """Slices of enough queries whose loss is past the floor, and more than chance."""
    judged = [s for s in slices if s.difference.n >= policy.slice_queries]
    return [s for s in judged if s.difference.mean < -policy.slice_floor and s.difference.high < 0]


def _judge(figures: GateInputs, policy: Policy) -> tuple[Verdict, list[str]]:
    """The verdict and its reasons."""
    blocked = _unusable(figures, policy)
    if blocked:
        return "not-enough-evidence", blocked
    reference = "incumbent" if "incumbent" in figures.systems else "base"
    main = figures.comparison("candidate", reference)
    if not proven(main, policy):
        return _not_proven(main, reference, figures, policy)
    won = [_sentence(main, figures)]
    lost = _against_base(figures, policy) if reference == "incumbent" else []
    lost += [_slice_sentence(s) for s in failing_slices(figures.slices, policy)]
    recall = figures.index_recall
    if recall is not None and recall < policy.min_index_recall:
        lost.append(
            f"The index finds {recall:.3f} of the true neighbours; {policy.min_index_recall:g} are wanted."
        )
    forgotten = [_guard_sentence(g) for g in figures.guards if not g.passed]
    if lost:
        return "keep", lost + forgotten + won
    if forgotten:
        return "keep" if figures.merged else "merge-and-retest", forgotten + won
    return "promote", won + [_guard_sentence(g) for g in figures.guards]


def _unusable(figures: GateInputs, policy: Policy) -> list[str]:
    """Why these figures cannot decide anything; empty when they can."""
    if figures.leaks:
        shown = [f"Leak: {leak}." for leak in figures.leaks[:5]]
        more = len(figures.leaks) - len(shown)
        return shown + ([f"{more} more leaks of test data into training."] if more > 0 else [])
    if figures.decides is None:
        return ["There is no test query with a relevant document."]
    if figures.queries < policy.min_queries:
        return [
            f"Only {figures.queries} answerable test queries; {policy.min_queries} are the least that decide."
        ]
    missing = {"candidate", "base"} - set(figures.systems)
    if missing:
        return [f"Not evaluated: {', '.join(sorted(missing))}."]
    values = [v for c in figures.comparisons for v in (*c.difference, c.p)]
    values += [v for g in figures.guards for v in g.difference]
    if not all(math.isfinite(v) for v in values):
        return ["A figure is not a finite number."]
    return []


def _not_proven(
    main: Comparison, reference: str, figures: GateInputs, policy: Policy
) -> tuple[Verdict, list[str]]:
    d = main.difference
    reasons = [_sentence(main, figures)]
    rivals = [s for s in ("bm25", "hybrid:base") if _as_good(figures, s)]
    small = d.low > 0 and d.mean < policy.min_effect
    if small:
        reasons.append(f"That is less than the least gain worth a release, {policy.min_effect:g}.")
    elif d.high >= policy.min_effect:
        reasons.append(_power_sentence(main, policy))
    settled = small or d.high < policy.min_effect
    if reference == "incumbent":
        return "keep" if settled else "not-enough-evidence", reasons
    if settled or rivals:
        reasons += [
            f"{_name(s)} alone reaches {figures.systems[s].mean:.3f}, "
            f"the candidate {figures.systems['candidate'].mean:.3f}."
            for s in rivals
        ]
        return "do-not-fine-tune", reasons
    return "not-enough-evidence", reasons


def _as_good(figures: GateInputs, system: str) -> bool:
    return system in figures.systems and figures.systems[system].mean >= figures.systems["candidate"].mean


def _against_base(figures: GateInputs, policy: Policy) -> list[str]:
    comparison = figures.comparison("candidate", "base")
    if comparison.difference.low > -policy.min_effect:
        return []
    return [f"It is not shown to be as good as the base. {_sentence(comparison, figures)}"]


def _headline(verdict: Verdict, figures: GateInputs) -> str:
    other = "incumbent" if "incumbent" in figures.systems else "base"
    on = f" on {figures.queries} {KINDS.get(figures.decides, figures.decides)}" if figures.decides else ""
    return {
        "promote": f"Promote: the candidate is proven better than the {other}{on}.",
        "keep": f"Keep the {other}: the candidate does not earn its place{on}.",
        "merge-and-retest": f"Merge and retest: better than the {other}{on}, but general ability suffers.",
        "do-not-fine-tune": f"Do not fine-tune: without it, results are as good or better{on}.",
        "not-enough-evidence": f"Not enough evidence: nothing is changed{on}.",
    }[verdict]


def _advice(verdict: Verdict, figures: GateInputs, search: Mapping[str, SearchPlan]) -> list[str]:
    means = {name: interval.mean for name, interval in figures.systems.items()}
    best = max(means, key=lambda name: means[name], default=None)
    reference = "incumbent" if "incumbent" in means else "base"
    live = "candidate" if verdict == "promote" else reference
    hybrid = f"hybrid:{live}"
    advice = []
    if best == "bm25":
        advice.append(
            f"BM25 is the best system here ({means['bm25']:.3f}): serve it, or search with it first."
        )
    elif search.get(live) == HYBRID:
        use = "search with `--mode hybrid`" if live == "incumbent" else "its release is searched with it"
        advice.append(
            f"{_name(hybrid)} is proven better than the {live} alone ({means[live]:.3f} to "
            f"{means[hybrid]:.3f}): {use}."
        )
    elif best == hybrid:
        advice.append(
            f"{_name(hybrid)} has the highest mean ({means[hybrid]:.3f}), though not proven: "
            "search with `--mode hybrid` to try it."
        )
    if verdict == "merge-and-retest":
        advice.append("Interpolate the weights with the base's; the share is chosen on dev.")
    if verdict == "not-enough-evidence" and not figures.leaks:
        advice.append("Add judged test queries: 200 to 500 tell differences of a few hundredths.")
    if figures.leaks:
        advice.append("Remove the named examples from training, or the queries from the test, and run again.")
    if verdict == "do-not-fine-tune":
        advice.append("Labelled or clicked queries as training data help most; else keep the base model.")
    return advice


def _sentence(c: Comparison, figures: GateInputs) -> str:
    d = c.difference
    verb = "gains" if d.mean >= 0 else "loses"
    return (
        f"The {c.system} {verb} {abs(d.mean):.4f} {c.measure} against the {c.baseline} "
        f"(interval {d.low:+.4f} to {d.high:+.4f}, p = {c.p:.4f}, {d.n} {KINDS.get(c.dataset, c.dataset)}): "
        f"{figures.systems[c.baseline].mean:.4f} to {figures.systems[c.system].mean:.4f}."
    )


def _power_sentence(c: Comparison, policy: Policy) -> str:
    if c.detectable is None:
        return "With one query no difference can be shown."
    return (
        f"{c.difference.n} queries show differences from {c.detectable:.4f} up; "
        f"a gain of {policy.min_effect:g} can be neither shown nor excluded."
    )


def _guard_sentence(guard: GuardFigure) -> str:
    d = guard.difference
    word = "holds" if guard.passed else "fails"
    return (
        f"Guard {guard.name} {word}: {guard.measure} {guard.base:.4f} to {guard.candidate:.4f} "
        f"(interval {d.low:+.4f} to {d.high:+.4f}, n = {d.n}, margin {guard.margin:g})."
    )


def _slice_sentence(piece: SliceFigure) -> str:
    d = piece.difference
    interval = f"interval {d.low:+.4f} to {d.high:+.4f}, n = {d.n}"
    return f"Slice {piece.name} = {piece.value} loses {-d.mean:.4f} ({interval})."


def _name(system: str) -> str:
    names = {
        "bm25": "BM25",
        "hybrid:base": "The hybrid of BM25 and the base",
        "hybrid:incumbent": "The hybrid of BM25 and the incumbent",
        "hybrid:candidate": "The hybrid of BM25 and the candidate",
    }
    return names.get(system, system)

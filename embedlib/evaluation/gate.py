"""The promotion gate: from figures to a decision, by rule, with reasons.

What users get is judged: the candidate as it would be served (its mode, BM25's weight and feedback,
chosen on dev) against what is live as it is served, or against the base as best served where nothing
is. Slices too compare what is served. Guards compare the vectors alone: they ask whether the model
has forgotten, which BM25 would hide.

A model is promoted only if it is *proven* better: its paired interval lies above zero, the
randomization test agrees, and the gain is worth having. Whatever is missing, leaked or too small
to tell ends as ``not-enough-evidence``, never as a promotion.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, astuple

from embedlib.evaluation.compare import Comparison
from embedlib.evaluation.gate_inputs import GateInputs
from embedlib.evaluation.gate_sentences import (
    DERIVED,
    KINDS,
    MODELS,
    UNTESTED,
    UNTRAINED,
    advice,
    alone_sentences,
    guard_sentence,
    headline,
    power_sentence,
    second_stage_sentence,
    sentence,
    slice_sentence,
    system_title,
)
from embedlib.evaluation.records import Decision, SliceFigure, Verdict
from embedlib.evaluation.statistics import Policy


def decide(figures: GateInputs, policy: Policy) -> Decision:
    """Judge a candidate.

    Returns:
        ``promote``: as served proven better than what is live (the incumbent if there is one, else the
        base, and by more than its reranker gains), not worse than the base, no guard and no slice past
        its floor.
        ``merge-and-retest``: all of that except a guard: weights interpolated with the base may keep both.
        ``do-not-fine-tune``: no incumbent, and the base as served, or BM25, is as good or better, or
        nothing was there to train on.
        ``keep``: the incumbent (or base) stays for any other reason.
        ``not-enough-evidence``: the test set cannot tell, or there is none.
    """
    if not figures.trained:
        if figures.decides is None:
            return _decision("not-enough-evidence", [UNTESTED], figures)
        stays: Verdict = "keep" if "incumbent" in figures.systems else "do-not-fine-tune"
        return _decision(stays, [UNTRAINED], figures)
    verdict, reasons = _judge(figures, policy)
    derived = [DERIVED] if figures.decides == "derived" else []
    return _decision(verdict, (*reasons, *figures.cautions, *derived), figures)


def first_release(figures: GateInputs) -> Decision:
    """Why the base goes live where nothing is live yet: no proof is needed to have a search at all."""
    reasons = [f"Nothing was live: the base model goes live at once, searched as {figures.plan('base')}."]
    if figures.decides is not None:
        kind = KINDS.get(figures.decides, figures.decides)
        shown = [s for s in ("base", "bm25", "hybrid:base") if s in figures.systems]
        found = ", ".join(f"{system_title(s)} {figures.systems[s].mean:.4f}" for s in shown)
        reasons.append(f"{figures.primary} on {figures.queries} test {kind}: {found}.")
    return _decision("first-release", reasons, figures)


def _decision(verdict: Verdict, reasons: Sequence[str], figures: GateInputs) -> Decision:
    search = {name: figures.plan(name) for name in MODELS if name in {*figures.systems, *figures.plans}}
    return Decision(
        verdict=verdict,
        headline=headline(verdict, figures),
        reasons=tuple(reasons),
        advice=tuple(advice(verdict, figures)),
        decided_on=figures.decides,
        numbers={
            "measure": figures.primary,
            "queries": figures.queries,
            "systems": {name: asdict(interval) for name, interval in figures.systems.items()},
            "served": {name: figures.served(name) for name in search},
            "comparisons": [asdict(c) for c in figures.comparisons],
            "guards_failed": [g.name for g in figures.guards if not g.passed],
            "leaks": len(figures.leaks),
        },
        search=search,
    )


def proven(comparison: Comparison, policy: Policy) -> bool:
    """Whether a gain is shown by interval and by test, and is worth having."""
    d = comparison.difference
    least = policy.effect(comparison.dataset)
    return d.low > 0 and comparison.p <= 1 - policy.level + 1e-12 and d.mean >= least


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
    if figures.served("candidate") == figures.served(reference):
        return "keep" if reference == "incumbent" else "do-not-fine-tune", [
            "As served, both are BM25 alone: the model does not matter.",
            *alone_sentences(figures, reference),
        ]
    main = figures.comparison(figures.served("candidate"), figures.served(reference))
    if not proven(main, policy):
        return _not_proven(main, reference, figures, policy)
    won = [sentence(main, figures, reference), *alone_sentences(figures, reference)]
    lost = _against_base(figures, policy) if reference == "incumbent" else []
    if main.difference.low <= figures.second_stage > 0:
        lost.append(second_stage_sentence(main, figures.second_stage))
    lost += [slice_sentence(s) for s in failing_slices(figures.slices, policy)]
    forgotten = [guard_sentence(g) for g in figures.guards if not g.passed]
    if lost:
        return "keep", lost + forgotten + won
    if forgotten:
        return "keep" if figures.merged else "merge-and-retest", forgotten + won
    return "promote", won + [guard_sentence(g) for g in figures.guards]


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
    values = [v for c in figures.comparisons for v in (*astuple(c.difference), c.p)]
    values += [v for g in figures.guards for v in astuple(g.difference)]
    if not all(math.isfinite(v) for v in values):
        return ["A figure is not a finite number."]
    return []


def _not_proven(
    main: Comparison, reference: str, figures: GateInputs, policy: Policy
) -> tuple[Verdict, list[str]]:
    d, least = main.difference, policy.effect(main.dataset)
    reasons = [sentence(main, figures, reference), *alone_sentences(figures, reference)]
    rivals = [s for s in dict.fromkeys(("bm25", figures.served("base"))) if _as_good(figures, s)]
    small = d.low > 0 and d.mean < least
    if small:
        reasons.append(f"That is less than the least gain worth a release, {least:g}.")
    elif d.high >= least:
        reasons.append(power_sentence(main, least))
    settled = small or d.high < least
    if reference == "incumbent":
        return "keep" if settled else "not-enough-evidence", reasons
    if settled or rivals:
        ours = figures.systems[figures.served("candidate")].mean
        reasons += [
            f"{system_title(s)} reaches {figures.systems[s].mean:.3f}, the candidate as served {ours:.3f}."
            for s in rivals
        ]
        return "do-not-fine-tune", reasons
    return "not-enough-evidence", reasons


def _as_good(figures: GateInputs, system: str) -> bool:
    ours = figures.served("candidate")
    if system == ours or system not in figures.systems:
        return False
    return figures.systems[system].mean >= figures.systems[ours].mean


def _against_base(figures: GateInputs, policy: Policy) -> list[str]:
    ours, theirs = figures.served("candidate"), figures.served("base")
    if ours == theirs:
        return []
    comparison = figures.comparison(ours, theirs)
    if comparison.difference.low > -policy.min_effect:
        return []
    return [f"It is not shown to be as good as the base. {sentence(comparison, figures, 'base')}"]

"""What the gate says: its verdict, reasons and advice in sentences with the numbers."""

from __future__ import annotations

from collections.abc import Mapping

from embedlib.evaluation.compare import Comparison
from embedlib.evaluation.gate_inputs import GateInputs
from embedlib.evaluation.records import GuardFigure, SliceFigure, Verdict
from embedlib.models.catalog import find_model

#: Share of the documents in a language from which on it matters that a model was not made for it; so many
#: of those looked at must tell theirs, too.
FOREIGN_SHARE = 0.2

#: Names that models are evaluated under.
MODELS = ("base", "incumbent", "candidate")

KINDS = {
    "human": "queries labelled by people",
    "log": "queries from click logs",
    "derived": "queries derived from documents",
}

DERIVED = (
    "Decided on queries derived from documents: they agree with people's only in part. "
    "Judged queries of your users would settle it."
)

UNTRAINED = (
    "No training pair is left: documents that test queries were derived from give none, "
    "nor do texts that are too short or too alike."
)

UNTESTED = "There is no test query: nobody judged one, and the documents are too short to take one out of."


def headline(verdict: Verdict, figures: GateInputs) -> str:
    """The verdict in one sentence."""
    other = "incumbent" if "incumbent" in figures.systems else "base"
    if not figures.trained and verdict != "not-enough-evidence":
        return f"Nothing to train on: the {other} stays."
    on = f" on {figures.queries} {KINDS.get(figures.decides, figures.decides)}" if figures.decides else ""
    return {
        "promote": f"Promote: the candidate is proven better than the {other}{on}.",
        "keep": f"Keep the {other}: the candidate does not earn its place{on}.",
        "merge-and-retest": f"Merge and retest: better than the {other}{on}, but general ability suffers.",
        "do-not-fine-tune": f"Do not fine-tune: without it, results are as good or better{on}.",
        "not-enough-evidence": f"Not enough evidence: nothing is changed{on}.",
        "first-release": "First release: the base model, live while a better one is being made.",
    }[verdict]


def advice(verdict: Verdict, figures: GateInputs) -> list[str]:
    """What the owner may do about it."""
    means = {name: interval.mean for name, interval in figures.systems.items()}
    reference = "incumbent" if "incumbent" in means else "base"
    served = "candidate" if verdict == "promote" else reference
    live = figures.served(served)
    best = max((name for name in means if name in ("bm25", *MODELS)), key=means.__getitem__, default=live)
    given = []
    if live in means and means[best] > means[live]:
        mode = {"bm25": "bm25", served: "dense"}.get(best)
        given.append(
            f"{system_title(best)} is better on the test queries than what is served ({means[best]:.3f}, "
            f"{means[live]:.3f}). They choose nothing"
            + (f"; a search may ask for it with --mode {mode}." if mode else ".")
        )
    if verdict == "merge-and-retest":
        given.append("Interpolate the weights with the base's; the share is chosen on dev.")
    if verdict == "not-enough-evidence" and not figures.leaks:
        given.append("Add judged test queries: 200 to 500 tell differences of a few hundredths.")
        if figures.decides is None:
            given.append("Documents give some where split.min_body_words is smaller.")
    if figures.leaks:
        given.append("Remove the named examples from training, or the queries from the test, and run again.")
    if verdict == "do-not-fine-tune":
        given.append("Labelled or clicked queries as training data help most; else keep the base model.")
    return given


def language_advice(source: str, languages: Mapping[str, int], sampled: int) -> list[str]:
    """That a model of the catalog was not made for a language of the documents.

    ``languages`` counts the documents whose language is plain, by its ISO 639-1 code, ``sampled`` those that
    were looked at; where few of them tell, nothing is said.
    """
    model, told = find_model(source), sum(languages.values())
    if model is None or told < FOREIGN_SHARE * sampled:
        return []
    common = [code for code, n in languages.items() if n >= FOREIGN_SHARE * told and not model.speaks(code)]
    if not common:
        return []
    codes = ", ".join(f"{code} ({languages[code] / told:.0%})" for code in common)
    asked = " ".join(f"--language {code}" for code in common)
    return [
        f"Documents are in {codes}, and {source} was made for {', '.join(model.languages)}. A base model for "
        f"their language helps most: embedlib recommend {asked}, then --set model.name=NAME."
    ]


def sentence(c: Comparison, figures: GateInputs, other: str) -> str:
    """What the candidate gains against another model, both as they are or would be served."""
    d = c.difference
    verb = "gains" if d.mean >= 0 else "loses"
    ours, theirs = figures.plan("candidate"), figures.plan(other)
    dense = ours.mode == theirs.mode == "dense"
    how = "" if dense else f", searched as {ours},"
    what = "" if dense else ", searched alike" if theirs == ours else f", searched as {theirs}"
    return (
        f"The candidate{how} {verb} {abs(d.mean):.4f} {c.measure} against the {other}{what} "
        f"(interval {d.ends}, p = {c.p:.4f}, {d.n} {KINDS.get(c.dataset, c.dataset)}): "
        f"{figures.systems[c.baseline].mean:.4f} to {figures.systems[c.system].mean:.4f}."
    )


def power_sentence(c: Comparison, least: float) -> str:
    """What the test set could have shown."""
    if c.detectable is None:
        return "With one query no difference can be shown."
    return (
        f"{c.difference.n} queries show differences from {c.detectable:.4f} up; "
        f"a gain of {least:g} can be neither shown nor excluded."
    )


def second_stage_sentence(c: Comparison, gain: float) -> str:
    """That the live reranker, which goes with the model it re-ranks, may be worth more than the candidate."""
    return (
        f"What is live re-ranks its first hits, which gained {gain:.4f} {c.measure}; the candidate is not "
        f"proven to gain more without it (interval from {c.difference.low:+.4f})."
    )


def guard_sentence(guard: GuardFigure) -> str:
    """How a guard went."""
    d = guard.difference
    word = "holds" if guard.passed else "fails"
    return (
        f"Guard {guard.name} {word}: {guard.measure} {guard.base:.4f} to {guard.candidate:.4f} "
        f"(interval {d.ends}, n = {d.n}, margin {guard.margin:g})."
    )


def slice_sentence(piece: SliceFigure) -> str:
    """What a slice lost."""
    d = piece.difference
    return f"Slice {piece.name} = {piece.value} loses {-d.mean:.4f} (interval {d.ends}, n = {d.n})."


def system_title(system: str) -> str:
    """A system as prose names it."""
    names = {
        "bm25": "BM25",
        "base": "The base by vectors alone",
        "incumbent": "The incumbent by vectors alone",
        "candidate": "The candidate by vectors alone",
        "hybrid:base": "The hybrid of BM25 and the base",
        "hybrid:incumbent": "The hybrid of BM25 and the incumbent",
        "hybrid:candidate": "The hybrid of BM25 and the candidate",
    }
    return names.get(system, system)


def alone_sentences(figures: GateInputs, reference: str) -> list[str]:
    """The vectors alone, where that is not what is judged."""
    if figures.plan("candidate").mode == figures.plan(reference).mode == "dense":
        return []
    d = figures.comparison("candidate", reference).difference
    before, after = (figures.systems[name].mean for name in (reference, "candidate"))
    return [f"By vectors alone: {before:.4f} to {after:.4f} ({d.mean:+.4f}, interval {d.ends})."]

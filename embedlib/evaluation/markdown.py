"""An evaluation and its decision as Markdown, for Prefect's and MLflow's pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from embedlib.escape import markdown
from embedlib.evaluation.choice import COST_COLUMNS, Choice
from embedlib.evaluation.compare import Comparison
from embedlib.evaluation.gate_sentences import KINDS
from embedlib.evaluation.records import Decision, EvaluationRecord, GeneralFigure, GuardFigure
from embedlib.evaluation.significance import Interval


def table(heads: Sequence[str], align: str, rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; ``align`` has an l or an r for each column."""
    first, *others = (f"| {' | '.join(line)} |" for line in [heads, *rows])
    return "\n".join([first, "|" + "".join({"l": "---|", "r": "---:|"}[a] for a in align), *others])


def comparison_table(comparisons: Sequence[Comparison]) -> str:
    """One row per comparison: difference with interval, p, and queries better and worse."""
    heads = ("system", "against", "measure", "difference", "95% interval", "p (Holm)", "better / worse / n")
    rows = []
    for c in comparisons:
        names = (markdown(c.system), markdown(c.baseline), c.measure)
        counts = f"{c.better} / {c.worse} / {c.difference.n}"
        rows.append((*names, *_difference(c.difference), f"{c.p_holm:.4f}", counts))
    return table(heads, "lllrrrr", rows)


def systems_table(systems: Mapping[str, Mapping[str, Interval]], measures: Sequence[str]) -> str:
    """One row per system, one column per measure, each mean with its interval."""
    rows = [(markdown(name), *(_mean(row[m]) for m in measures)) for name, row in systems.items()]
    return table(("system", *measures), "l" + "r" * len(measures), rows)


def guards_table(guards: Sequence[GuardFigure]) -> str:
    """One row per guard: both values, the difference with its interval, the margin, held or not."""
    heads = ("guard", "measure", "base", "candidate", "difference", "interval", "margin", "")
    rows = []
    for g in guards:
        values = (f"{g.base:.4f}", f"{g.candidate:.4f}", *_difference(g.difference), f"{g.margin:g}")
        rows.append((markdown(g.name), g.measure, *values, "holds" if g.passed else "fails"))
    return table(heads, "llrrrrrl", rows)


def general_table(figures: Sequence[GeneralFigure]) -> str:
    """One row a general set, system and measure, each mean with its interval."""
    rows = []
    for f in figures:
        names = map(markdown, (f.set, f.system, f.measure))
        rows.append((*names, f"{f.mean:.4f}", f"{f.low:.4f} to {f.high:.4f}", str(f.n)))
    return table(("set", "system", "measure", "mean", "interval", "n"), "lllrrr", rows)


def choice_table(choice: Choice) -> str:
    """One row per system, best first: quality with its interval, costs, and what dominates it."""
    rows = []
    for row in choice.alternatives:
        worse = f"dominated by {markdown(row.dominated_by)}" if row.dominated_by else ""
        rows.append((markdown(row.system), _mean(row.quality), *row.costs(), worse))
    return table(("system", choice.primary, *COST_COLUMNS, ""), f"l{'r' * (1 + len(COST_COLUMNS))}l", rows)


def _difference(d: Interval) -> tuple[str, str]:
    return f"{d.mean:+.4f}", d.ends


def _mean(i: Interval) -> str:
    return f"{i.mean:.4f} ({i.low:.4f}–{i.high:.4f})"


def evaluation_markdown(record: EvaluationRecord) -> str:
    """Each judged set's systems and comparisons on the primary measure."""
    parts = []
    for name, dataset in record.datasets.items():
        heading = f"### {markdown(KINDS.get(name, name))} (n = {dataset.queries})"
        parts += [
            heading,
            systems_table(dataset.systems, [record.primary]),
            comparison_table(record.on(name)),
        ]
    if served := served_rows(record):
        parts.append("Served: " + "; ".join(f"{n} as {how} ({why})" for n, how, why in served) + ".")
    if record.general:
        parts += ["### General sets", general_table(record.general)]
    return "\n\n".join(parts)


def served_rows(record: EvaluationRecord) -> list[tuple[str, str, str]]:
    """Each model with how it is or would be served, and why."""
    return [(name, str(plan), record.chosen[name].why) for name, plan in record.plans.items()]


def summary_markdown(
    decision: Decision | None,
    record: EvaluationRecord,
    guards: Sequence[GuardFigure],
    choice: Choice | None = None,
) -> str:
    """The verdict in one sentence and its reasons, if something was decided, and the tables behind them."""
    parts = []
    if decision is not None:
        parts += [f"## {markdown(decision.headline)}", _items(decision.reasons)]
        if decision.advice:
            parts.append("**Advice**\n\n" + _items(decision.advice))
    parts.append(evaluation_markdown(record))
    if choice and choice.alternatives:
        parts += ["### Which is best for me", choice_table(choice)]
        parts += [markdown(choice.note)] if choice.note else []
    if guards:
        parts += ["### Guards", guards_table(guards)]
    return "\n\n".join(parts) + "\n"


def _items(lines: Sequence[str]) -> str:
    return "\n".join(f"- {markdown(line)}" for line in lines)

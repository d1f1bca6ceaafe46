"""An evaluation and its decision as Markdown, for Prefect's and MLflow's pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from embedlib.escape import markdown
from embedlib.evaluation.choice import COST_COLUMNS, Choice
from embedlib.evaluation.compare import Comparison
from embedlib.evaluation.gate_sentences import KINDS
from embedlib.evaluation.records import Decision, EvaluationRecord, GeneralFigure, GuardFigure
from embedlib.evaluation.significance import Interval


def comparison_table(comparisons: Sequence[Comparison]) -> str:
    """One row per comparison: difference with interval, p, and queries better and worse."""
    lines = [
        "| system | against | measure | difference | 95% interval | p (Holm) | better / worse / n |",
        "|---|---|---|---:|---:|---:|---:|",
    ]
    for c in comparisons:
        d = c.difference
        lines.append(
            f"| {markdown(c.system)} | {markdown(c.baseline)} | {c.measure} | {d.mean:+.4f} | "
            f"{d.low:+.4f} to {d.high:+.4f} | {c.p_holm:.4f} | {c.better} / {c.worse} / {d.n} |"
        )
    return "\n".join(lines)


def systems_table(systems: Mapping[str, Mapping[str, Interval]], measures: Sequence[str]) -> str:
    """One row per system, one column per measure, each mean with its interval."""
    lines = ["| system | " + " | ".join(measures) + " |", "|---|" + "---:|" * len(measures)]
    for name, row in systems.items():
        cells = [f"{row[m].mean:.4f} ({row[m].low:.4f}–{row[m].high:.4f})" for m in measures]
        lines.append(f"| {markdown(name)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def guards_table(guards: Sequence[GuardFigure]) -> str:
    """One row per guard: both values, the difference with its interval, the margin, held or not."""
    lines = [
        "| guard | measure | base | candidate | difference | interval | margin | |",
        "|---|---|---:|---:|---:|---:|---:|---|",
    ]
    for g in guards:
        d = g.difference
        lines.append(
            f"| {markdown(g.name)} | {g.measure} | {g.base:.4f} | {g.candidate:.4f} | {d.mean:+.4f} | "
            f"{d.low:+.4f} to {d.high:+.4f} | {g.margin:g} | {'holds' if g.passed else 'fails'} |"
        )
    return "\n".join(lines)


def general_table(rows: Sequence[GeneralFigure]) -> str:
    """One row a general set, system and measure, each mean with its interval."""
    lines = ["| set | system | measure | mean | interval | n |", "|---|---|---|---:|---:|---:|"]
    for r in rows:
        names = " | ".join(map(markdown, (r.set, r.system, r.measure)))
        lines.append(f"| {names} | {r.mean:.4f} | {r.low:.4f} to {r.high:.4f} | {r.n} |")
    return "\n".join(lines)


def choice_table(choice: Choice) -> str:
    """One row per system, best first: quality with its interval, costs, and what dominates it."""
    lines = [f"| system | {choice.primary} | " + " | ".join(COST_COLUMNS) + " | |"]
    lines.append("|---|" + "---:|" * (1 + len(COST_COLUMNS)) + "---|")
    for row in choice.alternatives:
        q, worse = row.quality, f"dominated by {markdown(row.dominated_by)}" if row.dominated_by else ""
        cells = " | ".join(row.costs())
        lines.append(
            f"| {markdown(row.system)} | {q.mean:.4f} ({q.low:.4f}–{q.high:.4f}) | {cells} | {worse} |"
        )
    return "\n".join(lines)


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

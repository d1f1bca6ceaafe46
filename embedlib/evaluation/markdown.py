"""An evaluation and its decision as Markdown, for Prefect's and MLflow's pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from embedlib.escape import markdown
from embedlib.evaluation.compare import Comparison
from embedlib.evaluation.gate_inputs import GuardFigure
from embedlib.evaluation.gate_sentences import KINDS
from embedlib.evaluation.significance import Interval
from embedlib.retrieval.plan import SearchPlan


def comparison_table(comparisons: Sequence[Comparison]) -> str:
    """One row a comparison: difference with interval, p, and queries better and worse."""
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
    """One row a system, one column a measure, each mean with its interval."""
    lines = ["| system | " + " | ".join(measures) + " |", "|---|" + "---:|" * len(measures)]
    for name, row in systems.items():
        cells = [f"{row[m].mean:.4f} ({row[m].low:.4f}–{row[m].high:.4f})" for m in measures]
        lines.append(f"| {markdown(name)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def guards_table(guards: Sequence[GuardFigure]) -> str:
    """One row a guard: both values, the difference with its interval, the margin, held or not."""
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


def general_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """One row a general set, system and measure, each mean with its interval."""
    lines = ["| set | system | measure | mean | interval | n |", "|---|---|---|---:|---:|---:|"]
    for r in rows:
        names = " | ".join(markdown(r[name]) for name in ("set", "system", "measure"))
        lines.append(f"| {names} | {r['mean']:.4f} | {r['low']:.4f} to {r['high']:.4f} | {r['n']} |")
    return "\n".join(lines)


def evaluation_markdown(record: Mapping[str, Any]) -> str:
    """Each judged set's systems and comparisons on the primary measure.

    Args:
        record: Content of ``comparisons.json``.
    """
    parts = []
    primary = record["primary"]
    for name, dataset in record["datasets"].items():
        systems = {s: {m: Interval(**i) for m, i in row.items()} for s, row in dataset["systems"].items()}
        comparisons = [Comparison.from_json(c) for c in record["comparisons"]]
        mine = [c for c in comparisons if c.dataset == name and c.measure == primary]
        heading = f"### {markdown(KINDS.get(name, name))} (n = {dataset['queries']})"
        parts += [heading, systems_table(systems, [primary]), comparison_table(mine)]
    if served := served_rows(record):
        parts.append("Served: " + "; ".join(f"{n} as {how} ({why})" for n, how, why in served) + ".")
    if general := record.get("general"):
        parts += ["### General sets", general_table(general)]
    return "\n\n".join(parts)


def served_rows(record: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Each model with how it is or would be served, and why.

    Args:
        record: Content of ``comparisons.json``.
    """
    plans = {name: SearchPlan.model_validate(plan) for name, plan in record["plans"].items()}
    return [(name, str(plan), record["chosen"][name]["why"]) for name, plan in plans.items()]


def summary_markdown(
    decision: Mapping[str, Any], record: Mapping[str, Any], guards: Sequence[GuardFigure]
) -> str:
    """The verdict in one sentence, its reasons, and the tables behind them.

    Args:
        decision: Content of ``decision.json``.
        record: Content of ``comparisons.json``.
        guards: Guards of the evaluation.
    """
    parts = [
        f"## {markdown(decision['headline'])}",
        "\n".join(f"- {markdown(r)}" for r in decision["reasons"]),
    ]
    if decision["advice"]:
        parts.append("**Advice**\n\n" + "\n".join(f"- {markdown(a)}" for a in decision["advice"]))
    parts.append(evaluation_markdown(record))
    if guards:
        parts += ["### Guards", guards_table(guards)]
    return "\n\n".join(parts) + "\n"


def _items(lines: Sequence[str]) -> str:
    return "\n".join(f"- {markdown(line)}" for line in lines)

"""The report: one HTML file that needs nothing else, the verdict first."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from embedlib.artifact import Manifest
from embedlib.evaluation.choice import COST_COLUMNS, Alternative, Choice
from embedlib.evaluation.gate_sentences import KINDS
from embedlib.evaluation.markdown import served_rows
from embedlib.evaluation.plots import Forest, Line, Scatter, forest, line, pareto
from embedlib.evaluation.records import (
    Decision,
    EvaluationRecord,
    Gains,
    GuardFigure,
    JudgedFigures,
    SliceFigure,
    TrainingCurve,
)
from embedlib.evaluation.significance import Interval

TEMPLATE = "report.html"
NAMES = {
    "bm25": "BM25",
    "base": "base model",
    "hybrid:base": "BM25 + base",
    "hybrid:candidate": "BM25 + candidate",
}
#: Figures of ``curve.json`` as measures are written elsewhere.
LABELS = {"ndcg@10": "nDCG@10"}


@dataclass(frozen=True)
class Findings:
    """What the report is made of.

    Args:
        uses: Decisions made before on the same test set.
        curve: Of the candidate's training.
        details: Other artifacts' reports by heading, as JSON values.
        manifests: Every artifact behind the decision, parents first.
        shown: Queries shown at each end.
        records: Where the run is written down, by name.
    """

    title: str
    command: str
    decision: Decision | None
    uses: int
    record: EvaluationRecord
    guards: Sequence[GuardFigure]
    slices: Sequence[SliceFigure]
    examples: Gains
    choice: Choice | None = None
    curve: TrainingCurve | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    manifests: Sequence[Manifest] = ()
    shown: int = 10
    records: Sequence[tuple[str, str]] = ()


def render_report(findings: Findings) -> str:
    """The page."""
    environment = Environment(
        loader=PackageLoader("embedlib.evaluation", ""), autoescape=True, undefined=StrictUndefined
    )
    environment.filters.update(name=lambda s: NAMES.get(s, s), tree=tree, duration=duration)
    return environment.get_template(TEMPLATE).render(**context(findings))


def context(findings: Findings) -> dict[str, Any]:
    """What the template shows: the findings, and what is made of them."""
    record, decision, gains = findings.record, findings.decision, findings.examples
    alternatives = findings.choice.alternatives if findings.choice else []
    changes = gains.differences
    passed = {g.name: "good" if g.passed else "bad" for g in findings.guards}
    return {
        **vars(findings),
        "tone": _verdict_tone(decision) if decision else "",
        "level": f"{100 * record.level:g}%",
        "primary": record.primary,
        "datasets": [_dataset(name, d, record) for name, d in record.datasets.items()],
        "served": served_rows(record),
        "alternatives": alternatives,
        "choice_note": findings.choice.note if findings.choice else "",
        "costs": COST_COLUMNS,
        "choice_plot": _choice_plot(alternatives),
        "guard_plot": _signed([(g.name, g.difference) for g in findings.guards], passed),
        "slice_plot": _signed([(f"{s.name}: {s.value}", s.difference) for s in findings.slices]),
        "examples": {"gained": gains.gained[: findings.shown], "lost": gains.lost[: findings.shown]},
        "gain_plot": line(range(1, len(changes) + 1), changes, digits=2) if any(changes) else None,
        "dimension_plot": _dimension_plot(record),
        "curves": _curves(findings.curve),
        "seconds": sum(m.seconds for m in findings.manifests),
        "configuration": _configuration(findings.manifests),
    }


def _verdict_tone(decision: Decision) -> str:
    if decision.verdict == "promote":
        return "good"
    return "bad" if decision.numbers.get("leaks") else "neutral"


def _dataset(name: str, dataset: JudgedFigures, record: EvaluationRecord) -> dict[str, Any]:
    primary, systems, mine = record.primary, dataset.systems, record.on(name)
    return {
        "heading": KINDS.get(name, name),
        "decides": name == record.decides,
        "queries": dataset.queries,
        "documents": dataset.documents,
        "measures": list(next(iter(systems.values()))) if systems else [],
        "systems": systems,
        "means": forest([(s, row[primary]) for s, row in systems.items()], tones={"candidate": "main"}),
        "comparisons": mine,
        "differences": _signed([(f"{c.system}|{c.baseline}", c.difference) for c in mine]),
    }


def _signed(rows: Sequence[tuple[str, Interval]], tones: Mapping[str, str] | None = None) -> Forest | None:
    """Differences on one scale with zero, by default in the tone of their sign; None without any."""
    return forest(rows, tones=tones or {label: _tone(i) for label, i in rows}, signed=True) if rows else None


def _choice_plot(alternatives: Sequence[Alternative]) -> Scatter | None:
    """Quality against latency; each dot has its number in the table."""
    return pareto(
        [
            (str(number), a.p50_ms, a.quality, "" if a.dominated_by else "main")
            for number, a in enumerate(alternatives, 1)
            if a.p50_ms
        ]
    )


def _dimension_plot(record: EvaluationRecord) -> list[tuple[str, Line, list[tuple[int, float]]]]:
    """For each dense system the primary measure against the vector's size."""
    if record.deciding is None:
        return []
    systems = record.deciding.systems
    plots = []
    for name, full in record.dimensions.items():
        found = {int(s.split("@")[1]): s for s in systems if s.startswith(f"{name}@")} | {full: name}
        points = [(d, systems[found[d]][record.primary].mean) for d in sorted(found)]
        plot = line([float(d) for d, _ in points], [v for _, v in points], log_x=True)
        if plot is not None:
            plots.append((name, plot, points))
    return plots


def _curves(curve: TrainingCurve | None) -> list[tuple[str, Line]]:
    """Development figure and loss by step."""
    plots = []
    measured = [(curve.dev, "on dev, by step"), (curve.loss, "by step")] if curve else []
    for points, label in measured:
        value = next((k for p in points for k in p if k not in {"step", "epoch"}), None)
        plot = line([p["step"] for p in points], [p[value] for p in points]) if value else None
        if plot is not None:
            plots.append((f"{LABELS.get(str(value), value)} {label}", plot))
    return plots


def _tone(interval: Interval) -> str:
    return "good" if interval.low > 0 else "bad" if interval.high < 0 else ""


def _configuration(manifests: Sequence[Manifest]) -> str:
    """The options of every stage as a YAML file that a run can be given."""
    import yaml

    sections: dict[str, Any] = {}
    for manifest in manifests:
        options = {k: v for k, v in manifest.config.items() if k not in {"seed", "external"}}
        if "seed" in manifest.config:
            sections["seed"] = manifest.config["seed"]
        if options:
            sections.setdefault({"pin": "model"}.get(manifest.stage, manifest.stage), options)
    return yaml.safe_dump(sections, sort_keys=False, allow_unicode=True) if sections else ""


def tree(value: Any) -> list[tuple[int, str, str]]:
    """JSON values as lines of (depth, key, value) for a table.

    Examples:
        >>> tree({"rows": 3, "by origin": {"title": 2}})
        [(0, 'rows', '3'), (0, 'by origin', ''), (1, 'title', '2')]
    """
    lines: list[tuple[int, str, str]] = []

    def visit(key: str, item: Any, depth: int) -> None:
        if isinstance(item, Mapping):
            lines.append((depth, key, ""))
            for name, inner in item.items():
                visit(str(name), inner, depth + 1)
        else:
            lines.append((depth, key, _scalar(item)))

    for name, inner in value.items():
        visit(str(name), inner, 0)
    return lines


def _scalar(item: Any) -> str:
    if isinstance(item, float):
        return f"{item:.4g}"
    if isinstance(item, list | tuple):
        text = ", ".join(_scalar(i) for i in item[:12])
        return f"{text}, … ({len(item)} in all)" if len(item) > 12 else text
    return item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)


def duration(seconds: float) -> str:
    """Seconds for people.

    Examples:
        >>> duration(0.25), duration(75)
        ('0.2 s', '1 min 15 s')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"

"""What the Prefect UI shows of an artifact, and which of its files MLflow keeps."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefect.artifacts import create_markdown_artifact

from embedlib import escape
from embedlib.artifact import ArtifactRef
from embedlib.corpus.profile import CorpusProfile
from embedlib.corpus.rejects import left_out_lines
from embedlib.corpus.splits import SplitReport
from embedlib.evaluation.choice import Choice
from embedlib.evaluation.markdown import choice_table, evaluation_markdown, table
from embedlib.evaluation.records import Decision, EvaluationRecord
from embedlib.json_file import SAMPLES, JsonFile, read_list
from embedlib.mining.report import MiningReport
from embedlib.pairs.report import PairsReport
from tasks.progress import artifact_key


def show(name: str, ref: ArtifactRef) -> list[Path]:
    """Publish an artifact's report in the Prefect UI; returns the files that MLflow keeps."""
    render = RENDER.get(ref.kind)
    text = render(ref) if render else figures(ref.manifest.summary)
    create_markdown_artifact(
        f"{text}\n\n`{ref.kind}/{ref.fingerprint}`", key=artifact_key(name), description=f"{name}: {ref.kind}"
    )
    return [ref.file(n) for n in KEPT.get(ref.kind, ()) if ref.file(n).is_file()]


def figures(values: dict[str, Any]) -> str:
    """A two-column Markdown table; nested values are flattened with dots."""
    return table(("figure", "value"), "ll", [(_cell(key), _cell(value)) for key, value in _flat(values)])


def samples(rows: list[dict[str, Any]]) -> str:
    """The first rows as a Markdown table that a person can read."""
    names = list(rows[0]) if rows else []
    cells = [[_cell(row.get(name)) for name in names] for row in rows[:10]]
    return table([_cell(name) for name in names], "l" * len(names), cells) if rows else ""


def _decision(ref: ArtifactRef) -> str:
    decision = Decision.read(ref.path)
    lines = [*decision.reasons, *(f"→ {advice}" for advice in decision.advice)]
    return f"## {decision.verdict}\n\n" + "\n".join(f"- {escape.markdown(line)}" for line in lines)


def _with_samples(report: type[JsonFile]) -> Callable[[ArtifactRef], str]:
    def render(ref: ArtifactRef) -> str:
        return f"{figures(report.read(ref.path).model_dump())}\n\n{samples(_rows(ref))}"

    return render


def _corpus(ref: ArtifactRef) -> str:
    profile = CorpusProfile.read(ref.path)
    left_out = "\n".join(f"- {escape.markdown(line)}" for line in left_out_lines(profile.left_out))
    histogram = profile.tokens.histogram
    shown = picture(list(histogram), list(histogram.values()), "tokens a document")
    counts = profile.model_dump(exclude={"left_out": True, "tokens": {"histogram"}})
    return "\n\n".join(filter(None, [left_out, figures(counts), shown, samples(_rows(ref))]))


def _examples(ref: ArtifactRef) -> str:
    report = MiningReport.read(ref.path)
    margins = report.margins
    labels = [f"{low:g}" if i % 8 == 0 else "" for i, low in enumerate(margins.edges[:-1])]
    rows = [
        {
            "query": row["query"],
            "positive": row["positive"],
            "first negative": row["negatives"][0]["text"] if row["negatives"] else "",
            "from": row["negatives"][0]["miner"] if row["negatives"] else "",
        }
        for row in _rows(ref)
    ]
    shown = picture(labels, margins.counts, "positive's score above the negative's")
    return "\n\n".join([figures(report.model_dump(exclude={"margins"})), shown, samples(rows)])


def _rows(ref: ArtifactRef) -> list[dict[str, Any]]:
    path = ref.file(SAMPLES)
    return read_list(path, dict[str, Any]) if path.is_file() else []


def picture(labels: list[str], counts: list[int], what: str) -> str:
    """A histogram inside the page, a PNG of about ten kilobytes: neither UI fetches anything for it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 2.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.bar(range(len(counts)), counts, width=0.9)
    axes.set_xticks(range(len(labels)), labels, fontsize=7)
    axes.set_xlabel(what)
    axes.spines[["top", "right"]].set_visible(False)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=90, format="png", metadata={"Software": None})
    encoded = base64.b64encode(drawn.getvalue()).decode()
    return f"![{what}](data:image/png;base64,{encoded})"


def _report(ref: ArtifactRef) -> str:
    summary = ref.file("summary.md").read_text(encoding="utf-8")
    return f"{summary}\n\nFull report: {escape.markdown(str(ref.file('report.html')))}"


def _flat(values: Any, prefix: str = "") -> list[tuple[str, Any]]:
    if not isinstance(values, dict):
        return [(prefix.rstrip("."), values)]
    return [pair for key, value in values.items() for pair in _flat(value, f"{prefix}{key}.")]


def _cell(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return escape.markdown(text[:200])


RENDER: dict[str, Callable[[ArtifactRef], str]] = {
    "corpus": _corpus,
    "queries": _with_samples(SplitReport),
    "pairs": _with_samples(PairsReport),
    "examples": _examples,
    "evaluation": lambda ref: evaluation_markdown(EvaluationRecord.read(ref.path)),
    "choice": lambda ref: choice_table(Choice.read(ref.path)),
    "decision": _decision,
    "report": _report,
}

KEPT = {
    "corpus": ("profile.json",),
    "queries": ("report.json",),
    "pairs": ("report.json", "samples.json"),
    "examples": ("report.json", "samples.json"),
    "probe": ("probe.json",),
    "evaluation": ("scores.parquet", "comparisons.json", "slices.json", "guards.json"),
    "choice": ("choice.json",),
    "decision": ("decision.json",),
    "index": ("index.json",),
    "report": ("report.html", "summary.md"),
}

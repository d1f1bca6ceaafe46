"""Results as tables on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from embedlib.cli.console import console, plain, say

if TYPE_CHECKING:
    from embedlib.artifact import ArtifactRef
    from embedlib.evaluation.choice import Choice
    from embedlib.evaluation.records import Decision, EvaluationRecord, GeneralFigure, GuardFigure
    from embedlib.evaluation.significance import Interval
    from embedlib.index.answer import SearchHit
    from embedlib.index.estimate import EncodingEstimate


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str = "") -> None:
    """Print rows; numbers are aligned right."""
    table = Table(title=plain(title) if title else None, title_justify="left", header_style="bold")
    for index, name in enumerate(columns):
        numeric = all(isinstance(row[index], int | float) for row in rows)
        table.add_column(plain(name), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    console().print(table)


def hits_table(hits: Sequence[SearchHit]) -> None:
    """Search hits, best first."""
    rows = [(h.rank, h.score, h.doc_id, _title(h), h.snippet[:160]) for h in hits]
    print_table(("rank", _score(hits), "document", "title", "text"), rows)


def answers(workspace: Path, queries: Sequence[str]) -> None:
    """What the live release answers to sample queries."""
    from embedlib.index.search import Searcher

    searcher = Searcher(workspace)
    for query, hits in zip(queries, searcher.search(list(queries), k=3), strict=True):
        rows = [(h.rank, h.score, h.doc_id, h.title or h.snippet) for h in hits]
        print_table(("rank", _score(hits), "document", "title"), rows, title=f"“{query}”")


def _title(hit: SearchHit) -> str:
    """A hit's title, and the page it is on."""
    page = hit.metadata.get("page")
    return (hit.title or hit.snippet) + (f", page {page}" if page else "")


def _score(hits: Sequence[SearchHit]) -> str:
    """The score's heading: only scores of one mode can be compared."""
    return f"{hits[0].mode} score" if hits else "score"


def estimate_lines(found: EncodingEstimate) -> list[str]:
    """What encoding will take, in sentences."""
    tokens = "" if found.tokens is None else f": {found.tokens:,} tokens"
    lines = [f"{found.pending} of {found.documents} documents have no vector{tokens}"]
    if found.seconds is not None and found.documents_per_s is not None:
        took = timedelta(seconds=round(found.seconds))
        lines.append(f"about {took} on this machine, at {found.documents_per_s:,.0f} documents/s")
    if found.vector_bytes is not None:
        lines.append(
            f"{found.vector_bytes / 1e6:,.1f} MB of vectors, and as many in float32 for an exact index"
        )
    if found.dollars is not None:
        lines.append(f"{found.dollars:,.2f} US dollars at the API's price")
    return lines


def releases_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Releases, the live one marked; a model that came with an earlier one is told by its number."""
    first: dict[str, int] = {}
    for row in reversed(rows):
        first.setdefault(row["parts"]["model"]["digest"], row["number"])
    cells = []
    for row in rows:
        since = first[row["parts"]["model"]["digest"]]
        cells.append(
            (
                "→" if row["live"] else "",
                row["number"],
                row["created_at"][:16].replace("T", " "),
                row["answers"],
                row["model"] + ("" if since == row["number"] else f" (as in {since})"),
                (row.get("event") or {}).get("event", "by hand"),
            )
        )
    print_table(("live", "release", "created (UTC)", "searched", "model", "because of"), cells)


def outcome_table(workspace: Path, outcome: Any) -> None:
    """The verdict with its reasons, the comparison, files that were not read, and where everything lies."""
    from embedlib.evaluation.records import Decision, EvaluationRecord
    from embedlib.store import Store

    decision = Store(workspace).get("decision", outcome.decision)
    evaluation = decision.parents["evaluation"]
    left_out(evaluation.parents["corpus"])
    scores_table(EvaluationRecord.read(evaluation.path))
    decision_lines(Decision.read(decision.path))
    if outcome.reranking is not None:
        decision_lines(Decision.read(Store(workspace).get("decision", outcome.reranking).path), "reranker: ")
    say(f"release {outcome.release} is live in {workspace}")
    say(f"report  {outcome.report}")
    if outcome.left:
        say(outcome.left, "yellow")


def decision_lines(decision: Decision, what: str = "") -> None:
    """The verdict on ``what``, its reasons and its advice."""
    say(f"{what}{decision.verdict}", f"bold {'green' if decision.verdict == 'promote' else 'yellow'}")
    for reason in decision.reasons:
        console().print(plain(f"  • {reason}"))
    for advice in decision.advice:
        console().print(plain(f"  → {advice}"))


def first_release_line(workspace: Path, started: datetime) -> None:
    """How soon there was a search, where this run made the first release."""
    from embedlib.index.catalog import releases

    first = min(releases(workspace), key=lambda release: release.number)
    seconds = (datetime.fromisoformat(first.created_at) - started).total_seconds()
    if first.parents == [] and seconds > -1:
        say(f"release {first.number} could be searched after {seconds:.0f} s, as {first.search}")


def left_out(corpus: ArtifactRef) -> None:
    """Files of a folder that were not read, with the reasons."""
    from embedlib.corpus.profile import CorpusProfile
    from embedlib.corpus.rejects import left_out_lines

    lines = left_out_lines(CorpusProfile.read(corpus.path).left_out)
    for number, line in enumerate(lines):
        console().print(plain(("  " if number else "") + line))
    if lines:
        say(f"  all of them: {corpus.file('rejected.jsonl')}")


def findings_table(findings: Sequence[Any]) -> None:
    """The doctor's findings, worst first."""
    worst_first = sorted(findings, key=lambda f: ("error", "warning", "ok").index(f.severity))
    rows = [
        (
            f.severity,
            f"{f.subject}: {f.title}",
            ", ".join(f"{name} {_cell(value)}" for name, value in f.evidence.items()),
            f.command,
        )
        for f in worst_first
    ]
    print_table(("", "finding", "evidence", "next"), rows)


def monitor_table(report: Mapping[str, Any]) -> None:
    """What the monitor saw."""
    rows = [(name, value) for name, value in report["figures"].items()]
    print_table(("figure", "value"), rows, title=f"release {report['release']}")
    for kind in ("fired", "events", "notes"):
        if report[kind]:
            console().print(plain(f"{kind}: {', '.join(map(str, report[kind]))}"))


def general_table(rows: Sequence[GeneralFigure]) -> None:
    """General sets by systems, each figure with its interval."""
    systems = list(dict.fromkeys(row.system for row in rows))
    table: dict[tuple[str, str, int], dict[str, str]] = {}
    for row in rows:
        figure = f"{row.mean:.4f} ({row.low:.4f} … {row.high:.4f})"
        table.setdefault((row.set, row.measure, row.n), {})[row.system] = figure
    cells = [(*key, *(figures[s] for s in systems)) for key, figures in table.items()]
    print_table(("set", "measure", "n", *systems), cells)


def guards_table(guards: Sequence[GuardFigure]) -> None:
    """Each guard with what may be lost and what was."""
    rows = [
        (g.name, g.measure, *_interval(g.difference), g.margin, "holds" if g.passed else "fails")
        for g in guards
    ]
    print_table(("guard", "measure", "difference", "interval", "may lose", ""), rows)


def scores_table(record: EvaluationRecord, collection: str = "") -> None:
    """Systems by measures, and each difference on the primary measure with its interval."""
    for name, dataset in record.datasets.items():
        measures = list(next(iter(dataset.systems.values())))
        rows = [(system, *(means[m].mean for m in measures)) for system, means in dataset.systems.items()]
        title = f"{collection} {name}: {dataset.answerable} queries, {dataset.documents} documents"
        print_table(("system", *measures), rows, title=title.strip())
    rows = [
        (f"{c.system} − {c.baseline}", c.dataset, *_interval(c.difference), f"{c.p_holm:.4f}", c.difference.n)
        for c in record.comparisons
        if c.measure == record.primary
    ]
    if rows:
        columns = (f"difference in {record.primary}", "data", "mean", "interval", "p (Holm)", "queries")
        print_table(columns, rows)


def choice_table(choice: Choice) -> None:
    """Ways to search, best first, with what each costs here and what is dominated."""
    from embedlib.evaluation.choice import COST_COLUMNS

    rows = [
        (
            a.system,
            f"{a.quality.mean:.4f} ({a.quality.low:.4f} … {a.quality.high:.4f})",
            *a.costs(),
            a.dominated_by,
        )
        for a in choice.alternatives
    ]
    columns = ("system", choice.primary, *COST_COLUMNS, "dominated by")
    print_table(columns, rows, title="which is best for me, on this machine")
    if choice.note:
        say(choice.note)


def _interval(value: Interval) -> tuple[str, str]:
    return f"{value.mean:+.4f}", f"{value.low:+.4f} … {value.high:+.4f}"


def _cell(value: object) -> Text:
    return plain(f"{value:.4f}" if isinstance(value, float) else str(value))

"""The report: whole without a network, the verdict first, nothing of the data taken for markup."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
from evaluation_data import write_corpus, write_queries

from embedlib.config.evaluation import Decide, Report
from embedlib.evaluation.compare import Comparison
from embedlib.evaluation.lineage import lineage
from embedlib.evaluation.markdown import comparison_table, guards_table, summary_markdown
from embedlib.evaluation.plots import forest, line
from embedlib.evaluation.records import Decision, EvaluationRecord, Gains, GuardFigure, TrainingCurve
from embedlib.evaluation.report import Findings, render_report
from embedlib.evaluation.significance import Interval
from embedlib.json_file import write_json
from embedlib.stages.base import run_stage
from embedlib.stages.decide import STAGE as DECIDE
from embedlib.stages.report import STAGE as REPORT
from embedlib.store import Recipe

GAIN = Comparison(
    "human", "nDCG@10", "candidate", "base", Interval(0.05, 0.03, 0.07, 200), 0.001, 0.002, 0.3, 0.02, 90, 40
)
GUARD = GuardFigure("sts|b", "Spearman", 0.82, 0.81, Interval(-0.01, -0.02, 0.0, 1379), 0.01, False)


def decision(**changes):
    given = {
        "verdict": "promote",
        "headline": "Promote: proven better.",
        "reasons": ["The candidate gains 0.05."],
        "advice": ["Search with <b>hybrid</b>."],
        "decided_on": "human",
        "numbers": {"leaks": 0},
    }
    return Decision(**{**given, **changes})


def record(**changes):
    systems = {
        s: {"nDCG@10": Interval(m, m - 0.03, m + 0.03, 200)} for s, m in [("base", 0.4), ("candidate", 0.45)]
    }
    systems["candidate@64"] = {"nDCG@10": Interval(0.42, 0.39, 0.45, 200)}
    human = {"queries": 200, "answerable": 200, "documents": 1000, "systems": systems}
    given = {
        "primary": "nDCG@10",
        "level": 0.95,
        "decides": "human",
        "merged": False,
        "plans": {"base": {"mode": "dense"}, "candidate": {"mode": "dense", "weight": 0.5}},
        "chosen": {
            "base": {"why": "as it is served now", "dev": {}},
            "candidate": {"why": "clearly better on 99 human dev queries", "dev": {"dense": 0.31}},
        },
        "dimensions": {"base": 384, "candidate": 384},
        "datasets": {"human": human, "derived": {**human, "queries": 50}},
        "comparisons": [GAIN],
    }
    return EvaluationRecord(**{**given, **changes})


def findings(**changes):
    hit = {"doc_id": "d", "text": "<script>alert(1)</script>", "relevance": 1}
    entry = {"query_id": "q", "query": "a <b> query", "before": 0.0, "after": 1.0}
    document = {name: hit[name] for name in ("doc_id", "text")}
    entry |= {"relevant": [document], "hits_before": [], "hits_after": [hit]}
    given = {
        "title": "Embedding report",
        "command": "embedlib run --data docs",
        "decision": decision(),
        "uses": 0,
        "record": record(),
        "guards": [],
        "slices": [],
        "examples": Gains(differences=[1.0, 0.0, -0.2], gained=[entry]),
        "curve": TrainingCurve(dev=[{"step": 0, "ndcg@10": 0.4}, {"step": 9, "ndcg@10": 0.45}]),
        "details": {"Corpus": {"documents": 3, "nested": {"x": 0.5}}},
    }
    return Findings(**{**given, **changes})


class Page(HTMLParser):
    """Checks that tags are balanced; collects tags, links and text."""

    VOID = frozenset({"meta", "br", "line", "polygon", "polyline", "link", "img"})

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.links, self.text = [], [], [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in {"href", "src"}]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_page_and_markdown_say_how_each_model_would_be_served():
    served = record(plans={"base": {"mode": "hybrid"}, "candidate": {"mode": "hybrid", "weight": 0.5}})
    text = Page(render_report(findings(record=served))).text
    assert "hybrid (BM25 weight 0.5)" in text
    assert "clearly better on 99 human dev queries" in text
    markdown = summary_markdown(decision(), served, [])
    assert "base as hybrid (BM25 weight 0.3) (as it is served now)" in markdown


def test_the_verdict_comes_first_and_the_page_needs_nothing_else():
    html = render_report(findings())
    page = Page(html)
    assert page.text.index("Promote: proven better.") < page.text.index("Systems on")
    assert page.links == []
    assert "script" not in page.tags
    assert not re.search(r"https?://|@import|url\(", html)
    assert "prefers-color-scheme:dark" in html
    assert "width=device-width" in html


def test_texts_of_the_data_are_never_markup():
    html = render_report(findings())
    assert "<script>" not in html
    assert "a &lt;b&gt; query" in html
    assert "&lt;b&gt;hybrid" in html


def test_kinds_of_judgement_stand_apart_and_say_which_decides():
    text = Page(render_report(findings())).text
    assert "Systems on queries labelled by people" in text
    assert "Systems on queries derived from documents" in text
    assert text.count("These queries decide.") == 1
    assert "kinds of judgement are never mixed" in text


def test_curves_details_and_command_are_shown():
    text = Page(render_report(findings())).text
    for wanted in ("Shorter vectors", "nDCG@10 on dev, by step", "nested", "embedlib run --data docs"):
        assert wanted in text
    assert "64: 0.4200" in text
    bare = Page(render_report(findings(curve=None, details={}, examples=Gains()))).text
    assert "Training" not in bare
    assert "Query by query" not in bare


def test_earlier_uses_of_the_test_set_are_said():
    assert "decided 3 times before" in render_report(findings(uses=3))
    assert "had decided nothing before" in render_report(findings())


@pytest.mark.parametrize(
    ("verdict", "leaks", "tone"),
    [("promote", 0, "good"), ("keep", 0, "neutral"), ("not-enough-evidence", 2, "bad")],
)
def test_tone_follows_the_verdict(verdict, leaks, tone):
    html = render_report(findings(decision=decision(verdict=verdict, numbers={"leaks": leaks})))
    assert f'class="verdict {tone}"' in html


def test_a_run_without_any_query_still_has_a_report():
    empty = record(datasets={}, comparisons=[], decides=None)
    assert "No guard was evaluated" in Page(render_report(findings(record=empty, examples=Gains()))).text


def test_forest_positions_by_hand():
    plot = forest([("a", Interval(0.5, 0.0, 1.0, 9))], signed=True)
    (bar,) = plot.bars
    assert (bar.dot, bar.text, bar.note) == (50.0, "+0.5000", "+0.0000 to +1.0000, n = 9")
    assert plot.zero == pytest.approx(100 * 0.06 / 1.12, abs=0.01)
    assert forest([("a", Interval(0.5, 0.4, 0.6, 9))]).zero is None


def test_line_positions_by_hand():
    plot = line([64, 128, 256], [0.0, 1.0, 1.0], log_x=True)
    assert [x for x, _ in plot.dots] == [0.0, 50.0, 100.0]
    assert plot.dots[1][1] == pytest.approx(100 * 0.08 / 1.16, abs=0.01)
    assert line([1], [1.0]) is None
    assert line([2, 2], [1.0, 2.0]) is None
    assert line([1, 2], [3.0, 3.0]) is not None


def test_markdown_tables_have_one_row_each_and_escape_bars():
    table = comparison_table([GAIN, GAIN]).splitlines()
    assert len(table) == 4
    assert "| +0.0500 | +0.0300 to +0.0700 | 0.0020 | 90 / 40 / 200 |" in table[2]
    assert "sts\\|b" in guards_table([GUARD])
    assert "fails" in guards_table([GUARD])
    text = summary_markdown(decision(), record(), [GUARD])
    assert text.startswith("## Promote: proven better.")
    assert "### queries derived from documents (n = 50)" in text


@pytest.fixture
def artifacts(store):
    """An evaluation, its corpus and its queries, as the stages before would leave them."""

    def build(kind, fill, **inputs):
        def make(work):
            fill(work.out)
            return {}

        return store.build(Recipe(stage=kind, kind=kind, code="", config={"k": 1}, inputs=inputs), make).ref

    def evaluation(out):
        write_json(out / "comparisons.json", record())
        write_json(out / "guards.json", [])
        write_json(out / "slices.json", [])
        write_json(out / "examples.json", {})
        from embedlib.contracts import write_table
        from embedlib.evaluation.run_evaluation import JUDGED

        write_table(out / "judged.parquet", [], JUDGED)

    corpus = build("corpus", write_corpus)
    queries = build("queries", lambda out: write_queries(out, []), corpus=corpus)
    return corpus, queries, build("evaluation", evaluation, corpus=corpus, queries=queries)


def test_the_stage_writes_the_page_and_markdown_with_lineage_and_options(store, artifacts):
    corpus, queries, evaluation = artifacts
    verdict = run_stage(store, DECIDE, Decide(), evaluation=evaluation).ref
    given = {"corpus": corpus, "queries": queries, "evaluation": evaluation, "decision": verdict}
    report = Report(command="embedlib run --data x")
    named = report.of_run({"Prefect run": "http://127.0.0.1:4200/runs/flow-run/1", "MLflow run": "17 in <b>"})
    ref = run_stage(store, REPORT, named, **given).ref
    assert '<a href="http://127.0.0.1:4200/runs/flow-run/1">' in ref.file("report.html").read_text()
    text = Page(ref.file("report.html").read_text()).text
    for artifact in (corpus, queries, evaluation, verdict):
        assert artifact.fingerprint in text
    assert "embedlib run --data x" in text
    assert ref.file("summary.md").read_text().startswith("## Promote")
    assert ref.manifest.summary["verdict"] == "promote"
    assert "MLflow run: 17 in <b>" in text
    assert run_stage(store, REPORT, report.of_run({"Prefect run": "another"}), **given).reused


def test_a_merged_candidates_training_is_that_of_the_tuned_model_in_it(store, artifacts):
    def model(stage, name, content, **inputs):
        def make(work):
            write_json(work.out / name, content)
            return {}

        return store.build(Recipe(stage=stage, kind="model", code="", inputs=inputs), make).ref

    points = [{"step": s, "ndcg@10": 0.25 + s / 100} for s in (0, 5)]
    base = model("base", "curve.json", {"dev": [{"step": 0, "ndcg@10": 0.9}, {"step": 1, "ndcg@10": 0.8}]})
    tuned = model("train", "curve.json", {"dev": points, "loss": []})
    merged = model("merge", "merge.json", {"chosen": 0.75}, base=base, tuned=tuned)
    corpus, queries, evaluation = artifacts
    verdict = run_stage(store, DECIDE, Decide(), evaluation=evaluation).ref
    given = {"evaluation": evaluation, "decision": verdict, "corpus": corpus, "queries": queries}
    text = Page(
        run_stage(store, REPORT, Report(), candidate=merged, **given).ref.file("report.html").read_text()
    ).text
    assert "0.3000" in text
    assert "0.9000" not in text
    assert "chosen0.75" in text


def test_lineage_is_parents_first_and_survives_a_removed_ancestor(store, artifacts):
    corpus, queries, evaluation = artifacts
    assert [m.kind for m in lineage(store.artifacts_dir, [evaluation])] == ["corpus", "queries", "evaluation"]
    shutil.rmtree(corpus.path)
    assert [m.kind for m in lineage(store.artifacts_dir, [evaluation, queries])] == ["queries", "evaluation"]


def test_many_points_draw_no_dots():
    assert line(list(range(100)), list(np.linspace(0, 1, 100))).dots == []

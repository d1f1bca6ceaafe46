"""The commands that measure: evaluate models on labelled data, estimate what encoding takes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from pydantic_core import to_jsonable_python

from embedlib.cli.app import (
    AsJson,
    ConfigFile,
    ConfiguredWorkspace,
    Data,
    Overrides,
    app,
    emit_json,
    settings,
    start_flow,
    with_command,
)
from embedlib.cli.console import say
from embedlib.errors import UserError

if TYPE_CHECKING:
    from embedlib.evaluation.choice import Choice
    from embedlib.evaluation.records import EvaluationRecord, GeneralFigure, GuardFigure


class MeasuredResult(NamedTuple):
    """Everything that was measured, as ``--json`` prints it."""

    collections: Mapping[str, EvaluationRecord]
    choices: Mapping[str, Choice]
    reports: Mapping[str, Path]
    general: Sequence[GeneralFigure]
    guards: Sequence[GuardFigure]


#: What is measured on sentence pairs; everything else is a measure of ir-measures.
CORRELATIONS = ("Spearman", "Pearson")


Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        "-m",
        help="Name, folder, or provider:name behind an API; repeat it. The first is the baseline. "
        "None: the base and the live model.",
    ),
]
Collections = Annotated[
    list[Path] | None,
    typer.Option(
        "--data",
        "-d",
        help="Labelled documents as for `embedlib run`, or a TSV of sentence1, sentence2, score; repeat it.",
    ),
]
Mteb = Annotated[str, typer.Option(help="MTEB tasks, such as SciFact,STSBenchmark; needs embedlib\\[mteb].")]
Runs = Annotated[
    list[str] | None,
    typer.Option("--run", help="TREC run FILE, or NAME=FILE for --data of that name; repeat it."),
]
Floors = Annotated[list[str] | None, typer.Option(help="MEASURE=VALUE for the first model; exit 3 below it.")]
Csv = Annotated[Path | None, typer.Option(help="Write the value of every query, or sentence pair, here.")]


@app.command()
def evaluate(
    model: Models = None,
    config: ConfigFile = None,
    data: Collections = None,
    mteb: Mteb = "",
    split: Annotated[str, typer.Option(help="Split whose queries are scored.")] = "test",
    run: Runs = None,
    workspace: ConfiguredWorkspace = None,
    overrides: Overrides = None,
    fail_under: Floors = None,
    csv: Csv = None,
    as_json: AsJson = False,
) -> None:
    """Measure models on labelled data, alone and fused with BM25: quality with intervals, and costs here.

    Exit code 3: a guard fails, or the first model is below a --fail-under.

    Example: embedlib evaluate --data docs/ --model all-MiniLM-L6-v2 --model openai:text-embedding-3-small
    """
    from embedlib.config.evaluation_inputs import evaluation_inputs
    from embedlib.evaluation.mteb import require_mteb
    from embedlib.stages.preflight import EVALUATE, preflight

    floors = _floors(fail_under or [])
    _require_writable(csv)
    tasks = [name.strip() for name in mteb.split(",") if name.strip()]
    if tasks:
        require_mteb(tasks[0])
    chosen = [f"evaluate.split={split}", "encode.precision=fp32", "encode.dtype=float32"]
    plain, named = _runs(run or [])
    options = settings(config, None, workspace, [*chosen, *(overrides or [])]).with_runs(plain)
    given = evaluation_inputs(options, data or (), tasks, named)
    for each in given.collections.values() or [options]:
        preflight(each, EVALUATE, models=model or [])
    asked: dict[str, Any] = {"models": model or [], "data": data or [], "mteb": tasks, "runs": named}
    measured, _ = start_flow("evaluate", config=with_command(options), **asked)
    result = _result(measured)
    if csv is not None:
        _write_csv(measured, csv)
    emit_json(to_jsonable_python(result._asdict())) if as_json else _show(result)
    if failures := [*_below(result, floors), *_failing(result)]:
        typer.echo("\n".join(failures), err=True)
        raise typer.Exit(3)


@app.command()
def estimate(
    data: Data = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Name, folder, or provider:name behind an API.")
    ] = None,
    config: ConfigFile = None,
    workspace: ConfiguredWorkspace = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Estimate tokens, time, disk and cost of encoding documents, before they are spent.

    Documents are read; of those without a vector some are encoded and kept. An API is sent nothing.

    Example: embedlib estimate --data docs/ --model openai:text-embedding-3-small
    """
    from dataclasses import asdict

    from embedlib.cli.show import estimate_lines
    from embedlib.config.live import with_documents
    from embedlib.index.estimate import estimate_encoding
    from embedlib.stages import encode, ingest, pin
    from embedlib.stages.base import run_stage
    from embedlib.store import Store

    chosen = [f"model.name={model}"] if model else []
    options = with_documents(settings(config, data, workspace, [*(overrides or []), *chosen]))
    store = Store(options.workspace)
    corpus = run_stage(store, ingest.STAGE, options.ingest).ref
    base = run_stage(store, pin.STAGE, options.model).ref
    found = estimate_encoding(store, corpus, encode.encoding_of(options.encode, base))
    emit_json(asdict(found)) if as_json else typer.echo("\n".join(estimate_lines(found)))


def _result(measured: Any) -> MeasuredResult:
    from embedlib.evaluation.choice import Choice
    from embedlib.evaluation.records import GENERAL_FILE, EvaluationRecord, GeneralFigure, read_guards
    from embedlib.json_file import read_list

    general = measured.general
    return MeasuredResult(
        {name: EvaluationRecord.read(found.evaluation.path) for name, found in measured.collections.items()},
        {name: Choice.read(found.choice.path) for name, found in measured.collections.items()},
        {name: found.report.file("report.html") for name, found in measured.collections.items()},
        read_list(general.file(GENERAL_FILE), GeneralFigure) if general else [],
        read_guards(general.path) if general else [],
    )


def _show(result: MeasuredResult) -> None:
    from embedlib.cli.show import choice_table, general_table, guards_table, scores_table
    from embedlib.evaluation.markdown import served_rows

    for name, record in result.collections.items():
        scores_table(record, name)
        for model, how, why in served_rows(record):
            say(f"{model} is served as {how}: {why}")
        choice_table(result.choices[name])
        say(f"report  {result.reports[name]}")
    if result.general:
        general_table(result.general)
    if result.guards:
        guards_table(result.guards)


def _runs(given: Sequence[str]) -> tuple[list[Path], dict[str, list[Path]]]:
    """Run files without a collection's name, and with one."""
    plain, named = list[Path](), dict[str, list[Path]]()
    for text in given:
        name, equals, path = text.partition("=")
        if equals and not Path(text).exists():
            named.setdefault(name, []).append(Path(path))
        else:
            plain.append(Path(text))
    return plain, named


def _require_writable(target: Path | None) -> None:
    """Refuse before the evaluation what could not be written after it."""
    if target is None:
        return
    problem = "a folder" if target.is_dir() else "" if target.parent.is_dir() else "no such folder"
    if problem:
        raise UserError(
            "the table cannot be written there",
            where=f"--csv {target}",
            expected="a file in a folder that is there",
            found=problem,
        )


def _write_csv(measured: Any, target: Path) -> None:
    import pandas as pd

    refs = {name: found.evaluation for name, found in measured.collections.items()}
    refs |= {"": measured.general} if measured.general else {}
    tables = {name: pd.read_parquet(ref.file("scores.parquet")) for name, ref in refs.items()}
    pd.concat(tables, names=["collection", None]).reset_index("collection").to_csv(target, index=False)


def _floors(limits: Sequence[str]) -> list[tuple[str, float]]:
    """Measures with the value that the first model must reach."""
    from embedlib.evaluation.measures import parse_measures

    floors = []
    for limit in limits:
        measure, _, text = limit.partition("=")
        try:
            floor = float(text)
        except ValueError:
            floor = math.nan
        if measure not in CORRELATIONS:
            parse_measures([measure])
        if not math.isfinite(floor):
            raise UserError(
                "a limit that is no number", where="--fail-under", expected="nDCG@10=0.3", found=limit
            )
        floors.append((measure, floor))
    return floors


def _below(result: MeasuredResult, floors: Sequence[tuple[str, float]]) -> Iterator[str]:
    """Limits that the first model does not meet, each in a sentence."""
    means = list(_first_means(result))
    for measure, floor in floors:
        found = [(where, mean) for where, name, mean in means if name == measure]
        if not found:
            known = ", ".join(dict.fromkeys(name for _, name, _ in means))
            raise UserError(f"{measure} was not measured", where="--fail-under", expected=f"one of {known}")
        yield from (
            f"{measure} on {where} is {mean:.4f}, below {floor}" for where, mean in found if not mean >= floor
        )


def _first_means(result: MeasuredResult) -> Iterator[tuple[str, str, float]]:
    """(where, measure, mean) of the first model."""
    for name, record in result.collections.items():
        for kind, dataset in record.datasets.items():
            first = next(iter(dataset.systems.values()))
            yield from ((f"{name} ({kind})", measure, value.mean) for measure, value in first.items())
    for row in result.general:
        if row.system == result.general[0].system:
            yield row.set, row.measure, row.mean


def _failing(result: MeasuredResult) -> Iterator[str]:
    """Guards that fail, each in a sentence."""
    for g in result.guards:
        if not g.passed:
            yield (
                f"guard {g.name} fails: {g.measure} {g.base:.4f} to {g.candidate:.4f} "
                f"(interval {g.difference.ends}, may lose {g.margin:g})"
            )

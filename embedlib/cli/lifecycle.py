"""Commands that run flows: demo, run, refresh, evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from embedlib.cli.app import (
    AsJson,
    ConfigFile,
    Data,
    Overrides,
    Workspace,
    app,
    emit_json,
    settings,
    start_flow,
)
from embedlib.cli.show import answers, outcome_table, scores_table
from embedlib.errors import UserError

if TYPE_CHECKING:
    from embedlib.config.root import Config

DEMO_QUERIES = (
    "remove whitespace from both ends of a string",
    "wait for several threads to reach the same point",
    "parse command line options",
)


@app.command()
def demo(
    workspace: Workspace = Path("demo-workspace"), overrides: Overrides = None, as_json: AsJson = False
) -> None:
    """Run the main job on the Python standard library's docstrings, with no network.

    Example: embedlib demo
    """
    from embedlib.config.root import load_config

    values: dict[str, Any] = {
        "workspace": str(workspace),
        "ingest": {"source": {"type": "docstrings"}},
        # A few minutes on two cores: one origin needs no probe, two negatives a query train faster than 7.
        "synthesize": {"origins": ["title"]},
        "train": {"negatives": 2},
    }
    config = load_config(values=values, overrides=overrides or ())
    _lifecycle(config, as_json)
    if not as_json:
        answers(config.workspace, DEMO_QUERIES)


@app.command()
def run(
    config: ConfigFile = None,
    data: Data = None,
    workspace: Workspace = Path("workspace"),
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Tune a model on your documents, prove it, and publish it with its index.

    Example: embedlib run --data docs/ --workspace ws --set train.epochs=1
    """
    _lifecycle(settings(config, data, workspace, overrides), as_json)


@app.command()
def refresh(
    config: ConfigFile = None,
    data: Data = None,
    workspace: Workspace = Path("workspace"),
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Encode changed documents with the live model and swap in the new index.

    Example: embedlib refresh --data docs/ --workspace ws
    """
    number = start_flow("refresh", config=settings(config, data, workspace, overrides))
    emit_json({"release": number}) if as_json else typer.echo(f"release {number} is live")


@app.command()
def evaluate(
    model: Annotated[
        list[str] | None, typer.Option("--model", "-m", help="Name or folder; may be repeated.")
    ] = None,
    config: ConfigFile = None,
    data: Data = None,
    split: Annotated[str, typer.Option(help="Split whose queries are scored.")] = "test",
    bm25: Annotated[bool, typer.Option("--bm25", help="Also BM25.")] = False,
    hybrid: Annotated[bool, typer.Option("--hybrid", help="Also BM25 fused with each model.")] = False,
    workspace: Workspace = Path("workspace"),
    overrides: Overrides = None,
    fail_under: Annotated[
        list[str] | None, typer.Option(help="MEASURE=VALUE for the first model; exit 3 below it.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write every (query, measure) value here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure models on labelled data, side by side, with paired intervals.

    Example: embedlib evaluate --data beir/nfcorpus --split test --model all-MiniLM-L6-v2 --bm25 --hybrid
    """
    chosen = [
        f"evaluate.split={split}",
        f"evaluate.bm25={str(bm25 or hybrid).lower()}",
        f"evaluate.hybrid={str(hybrid).lower()}",
        "encode.precision=fp32",
        "encode.dtype=float32",
    ]
    result = start_flow(
        "evaluate",
        config=settings(config, data, workspace, [*chosen, *(overrides or [])]),
        models=model or [],
    )
    comparisons = result.read_json("comparisons.json")
    if csv is not None:
        _write_csv(result.file("scores.parquet"), csv)
    emit_json(comparisons) if as_json else scores_table(comparisons)
    if failures := _below(comparisons, fail_under or []):
        typer.echo("\n".join(failures), err=True)
        raise typer.Exit(3)


def _lifecycle(config: Config, as_json: bool) -> None:
    outcome = start_flow("lifecycle", config=config)
    if as_json:
        emit_json(outcome.model_dump(mode="json"))
    else:
        outcome_table(config.workspace, outcome)


def _write_csv(scores: Path, target: Path) -> None:
    import pandas as pd

    pd.read_parquet(scores).to_csv(target, index=False)


def _below(comparisons: dict[str, Any], limits: list[str]) -> list[str]:
    """Limits that the first model does not meet, each in a sentence."""
    failures = []
    for limit in limits:
        measure, equals, text = limit.partition("=")
        try:
            floor = float(text)
        except ValueError:
            equals = ""
        if not equals:
            raise UserError(
                "a limit that is no limit", where="--fail-under", expected="nDCG@10=0.3", found=limit
            )
        for name, dataset in comparisons["datasets"].items():
            means = next(iter(dataset["systems"].values()))
            if measure not in means:
                raise UserError(
                    f"{measure} was not measured", where="--fail-under", expected=f"one of {', '.join(means)}"
                )
            if means[measure]["mean"] < floor:
                failures.append(f"{measure} on {name} is {means[measure]['mean']:.4f}, below {floor}")
    return failures

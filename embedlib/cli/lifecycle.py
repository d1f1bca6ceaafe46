"""Commands that make and renew releases: demo, run, refresh."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from embedlib.cli.app import (
    AsJson,
    ConfigFile,
    ConfiguredWorkspace,
    Data,
    Overrides,
    Quiet,
    ReplaceDocuments,
    Verbose,
    Workspace,
    app,
    emit_json,
    existing,
    settings,
    start_flow,
    with_command,
)
from embedlib.cli.show import answers, decision_lines, first_release_line, outcome_table

if TYPE_CHECKING:
    from embedlib.config.root import Config

DEMO_QUERIES = (
    "remove whitespace from both ends of a string",
    "wait for several threads to reach the same point",
    "parse command line options",
)


@app.command()
def demo(
    workspace: Workspace = Path("demo-workspace"),
    overrides: Overrides = None,
    as_json: AsJson = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Run the main job on the Python standard library's docstrings, with no network.

    Example: embedlib demo
    """
    from embedlib.config.root import load_config

    values: dict[str, Any] = {
        "workspace": str(workspace),
        "ingest": {"source": {"type": "docstrings"}},
        "synthesize": {"origins": ["title"]},  # summary lines are what people ask of docstrings
    }
    config = load_config(values=values, overrides=overrides or ())
    code = _lifecycle(config, as_json, _verbosity(verbose, quiet))
    if not as_json:
        answers(config.workspace, DEMO_QUERIES)
    raise typer.Exit(code)


@app.command()
def run(
    config: ConfigFile = None,
    data: Data = None,
    workspace: ConfiguredWorkspace = None,
    overrides: Overrides = None,
    replace_documents: ReplaceDocuments = False,
    as_json: AsJson = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Tune a model on your documents, prove it, and publish it with its index.

    Without --data and --config, the configuration of the live release counts; --set changes it.

    Example: embedlib run --data docs/ --workspace ws --set train.epochs=1
    """
    options = [*(overrides or []), *_replacing(replace_documents)]
    chosen = settings(config, data, workspace, options, of_live=data is None)
    raise typer.Exit(_lifecycle(chosen, as_json, _verbosity(verbose, quiet)))


@app.command()
def refresh(
    config: ConfigFile = None,
    data: Data = None,
    workspace: ConfiguredWorkspace = None,
    overrides: Overrides = None,
    replace_documents: ReplaceDocuments = False,
    as_json: AsJson = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Encode changed documents with the live model and swap in the new index.

    Without --config, the configuration of the live release counts; what is given changes it.

    Example: embedlib refresh --workspace ws
    """
    from embedlib.stages.preflight import REFRESH, preflight

    options = settings(
        config, data, workspace, [*(overrides or []), *_replacing(replace_documents)], of_live=True
    )
    existing(options.workspace)
    preflight(options, REFRESH)
    number, code = start_flow("refresh", config=options, verbosity=_verbosity(verbose, quiet))
    emit_json({"release": number}) if as_json else typer.echo(f"release {number} is live")
    raise typer.Exit(code)


@app.command()
def distil(
    workspace: Workspace = Path("workspace"),
    objective: Annotated[
        str, typer.Option(help="balanced: half of the layers; speed: a static table of token vectors.")
    ] = "balanced",
    student: Annotated[
        str | None, typer.Option(help="Another student: layers, static, or a smaller model.")
    ] = None,
    keep: Annotated[float | None, typer.Option(help="Share of the teacher that must be proven.")] = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Distil the live model into a smaller one; it goes live if it is proven to keep enough.

    Example: embedlib distil --workspace ws --objective speed
    """
    from embedlib.stages.preflight import DISTIL

    given = {"objective": objective, "student": student, "keep": keep}
    _prove("distil", DISTIL, workspace, given, overrides, as_json)


@app.command()
def rerank(
    workspace: Workspace = Path("workspace"),
    start: Annotated[
        str, typer.Option(help="served: the live model; base: the base model; or a model by name.")
    ] = "served",
    latency_ms: Annotated[
        float | None, typer.Option(help="Milliseconds a query that re-ranking may take.")
    ] = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Train a reranker of the live release's hits; it goes live if it is proven to make answers better.

    Example: embedlib rerank --workspace ws --latency-ms 300
    """
    from embedlib.stages.preflight import RERANK

    _prove("rerank", RERANK, workspace, {"start": start, "latency_ms": latency_ms}, overrides, as_json)


def _prove(
    flow: str,
    needs: Sequence[str],
    workspace: Path,
    given: Mapping[str, object],
    overrides: Sequence[str] | None,
    as_json: bool,
) -> NoReturn:
    """Run a flow that adds something to the live release, and print whether it was proven."""
    from embedlib.evaluation.records import Decision
    from embedlib.stages.preflight import preflight
    from embedlib.store import Store

    options = [f"{flow}.{name}={value}" for name, value in given.items() if value is not None]
    config = settings(None, None, existing(workspace), [*options, *(overrides or [])], of_live=True)
    preflight(config, needs)
    fingerprint, code = start_flow(flow, config=config)
    decision = Decision.read(Store(config.workspace).get("decision", fingerprint).path)
    emit_json(decision.model_dump(mode="json")) if as_json else decision_lines(decision)
    raise typer.Exit(code)


def _replacing(documents: bool) -> list[str]:
    return ["publish.replace_documents=true"] if documents else []


def _verbosity(verbose: int, quiet: bool) -> int:
    return -1 if quiet else verbose


def _lifecycle(config: Config, as_json: bool, verbosity: int) -> int:
    from embedlib.stages.preflight import LIFECYCLE, preflight

    preflight(config, LIFECYCLE)
    started = datetime.now(UTC)
    outcome, code = start_flow("lifecycle", config=with_command(config), verbosity=verbosity)
    if as_json:
        emit_json(outcome.model_dump(mode="json"))
    else:
        outcome_table(config.workspace, outcome)
        first_release_line(config.workspace, started)
    return code

"""Commands around the runs: config, ui, monitor, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from embedlib.cli.app import (
    DEFAULT_WORKSPACE,
    AsJson,
    ConfigFile,
    ConfiguredWorkspace,
    Data,
    Overrides,
    Workspace,
    app,
    emit_json,
    existing,
    from_flows,
    settings,
    start_flow,
)


@app.command("config")
def config_(
    everything: Annotated[bool, typer.Option("--all", help="Print every option.")] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema instead.")] = False,
    check: Annotated[
        Path | None,
        typer.Option(help="Check this file and all that it names, and print it with every default."),
    ] = None,
) -> None:
    """Print the first options to know or all of them, annotated, or the JSON schema, or check a file.

    Example: embedlib config --all > embedlib.yaml
    """
    from embedlib.config.example import FIRST, annotated_example
    from embedlib.config.root import Config, load_config
    from embedlib.stages.preflight import preflight

    if schema:
        emit_json(Config.model_json_schema())
    elif check is not None:
        checked = load_config(check)
        preflight(checked)
        emit_json(checked.model_dump(mode="json"))
    else:
        typer.echo(annotated_example(Config, None if everything else FIRST))


@app.command()
def monitor(
    config: ConfigFile = None,
    data: Data = None,
    workspace: ConfiguredWorkspace = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Check the live release: canary queries, fresh labels, corpus and query drift, index health.

    Without --config, the configuration of the live release counts; what is given changes it.

    Example: embedlib monitor --workspace ws
    """
    from embedlib.cli.show import monitor_table
    from embedlib.stages.preflight import MONITOR, preflight

    options = settings(config, data, workspace, overrides, of_live=True)
    existing(options.workspace)
    preflight(options, MONITOR)
    report, _ = start_flow("monitor", config=options)
    emit_json(report) if as_json else monitor_table(report)


@app.command()
def doctor(workspace: ConfiguredWorkspace = None, as_json: AsJson = False) -> None:
    """Diagnose the installation, the workspace and the live model, each finding with its evidence.

    Exit code 0: all is well; 1: something is to be mended, or nothing is live.

    Example: embedlib doctor --workspace ws
    """
    from embedlib.cli.show import findings_table
    from embedlib.doctor.diagnose import diagnose, exit_code

    findings = diagnose(existing(workspace) if workspace else DEFAULT_WORKSPACE)
    emit_json([f.model_dump(mode="json") for f in findings]) if as_json else findings_table(findings)
    raise typer.Exit(exit_code(findings))


@app.command()
def automations(
    silence_s: Annotated[
        float, typer.Option(min=60, help="Seconds without a heartbeat after which a run counts as dead.")
    ] = 600.0,
) -> None:
    """Put automations on the Prefect server: dead runs are marked, and a webhook is told what happened.

    With EMBEDLIB_NOTIFY_URL set, that address is told of decisions, failed runs, degraded
    retrieval and a vector store left behind, as JSON {"text": …}. Given again, it changes what is there.

    Example: embedlib automations --silence-s 900
    """
    for name in from_flows("automations")(silence_s):
        typer.echo(name)


@app.command()
def deploy(
    config: ConfigFile = None,
    data: Data = None,
    workspace: ConfiguredWorkspace = None,
    overrides: Overrides = None,
) -> None:
    """Put the deployments on the Prefect server: lifecycle, refresh, monitor and evaluate, with schedules.

    Relative paths begin where this command is given. With neither --config nor --data, the configuration
    of the live release counts. Given again, it replaces what is there.

    Example: embedlib deploy --data docs/ --workspace ws
    """
    options = settings(config, data, workspace, overrides, of_live=config is None and data is None)
    values = options.model_dump(mode="json", exclude_unset=True)
    values["workspace"] = str(options.workspace.absolute())
    for name in from_flows("deploy")(values):
        typer.echo(name)


@app.command()
def ui(
    workspace: Workspace = Path("workspace"),
    prefect_port: Annotated[int, typer.Option(help="Port of the Prefect server.")] = 4200,
    mlflow_port: Annotated[int, typer.Option(help="Port of the MLflow UI.")] = 5000,
    pool: Annotated[
        str, typer.Option(help="Work pool whose runs are executed here; empty = none.")
    ] = "embedlib",
) -> None:
    """Start the Prefect server, a worker and the MLflow UI on loopback, until interrupted.

    The workspace is deployed with the configuration of its live release; where nothing is live, the
    schedules are paused. What `embedlib deploy` put there for the same workspace stays.

    Example: embedlib ui --workspace ws
    """
    from embedlib.cli.services import serve

    serve(workspace, prefect_port=prefect_port, mlflow_port=mlflow_port, pool=pool)

"""The application and what its commands share: options, flows by entry point, output."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points, packages_distributions
from importlib.metadata import version as package_version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from embedlib import escape
from embedlib.cli.console import console, plain
from embedlib.errors import EmbedlibError, UserError

if TYPE_CHECKING:
    from embedlib.config.root import Config

app = typer.Typer(
    name="embedlib",
    help="From documents to a proven embedding model and a live index.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.callback(invoke_without_command=True)
def embedlib(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    """From documents to a proven embedding model and a live index."""
    if version:
        typer.echo(f"embedlib {package_version('embedlib')}")
        raise typer.Exit


_WORKSPACE = typer.Option(
    "--workspace", "-w", help="Folder of artifacts and releases.", envvar="EMBEDLIB_WORKSPACE"
)
Workspace = Annotated[Path, _WORKSPACE]
#: The same where there is a configuration: its workspace counts when none is given here.
ConfiguredWorkspace = Annotated[Path | None, _WORKSPACE]
ConfigFile = Annotated[Path | None, typer.Option("--config", "-c", help="YAML file; see `embedlib config`.")]
Data = Annotated[
    Path | None, typer.Option("--data", "-d", help="BEIR folder, data file, or folder of documents.")
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", "-s", help="Dotted option, e.g. train.epochs=1; may be repeated.")
]
ReplaceDocuments = Annotated[
    bool,
    typer.Option(
        "--replace-documents", help="Publish even documents that are not those of the live release."
    ),
]
Verbose = Annotated[
    int, typer.Option("--verbose", "-v", count=True, help="Show what is logged; twice for more.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show nothing but errors and the result.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]

DEFAULT_WORKSPACE = Path("workspace")


def settings(
    config: Path | None,
    data: Path | None,
    workspace: Path | None,
    overrides: Sequence[str] | None,
    *,
    of_live: bool = False,
    documents: bool = True,
) -> Config:
    """The configuration of a command: file, then data path and workspace, then overrides.

    ``of_live`` starts from the live release's configuration where no file is given; a command that reads no
    ``documents`` can do without that.
    """
    from embedlib.config.live import live_values
    from embedlib.config.root import load_config

    values: dict[str, Any] = {}
    if data is not None:
        values["ingest"] = {"source": {"type": "auto", "path": str(data)}}
    if workspace is not None:
        values["workspace"] = str(workspace)
    base = None
    if of_live and config is None:
        place = [o for o in overrides or () if o.partition("=")[0].strip() == "workspace"]
        base = live_values(
            load_config(values=values, overrides=place).workspace, required=documents and data is None
        )
    return load_config(config, values=values, overrides=overrides or (), base=base)


def existing(workspace: Path) -> Path:
    """A workspace that is there: no command that only reads makes one."""
    from embedlib.store import require_workspace

    return require_workspace(workspace)


def with_command(config: Config) -> Config:
    """The configuration with the command line that was given, as it can be given again to a shell."""
    if "command" in config.report.model_fields_set:
        return config
    command = shlex.join(["embedlib", *sys.argv[1:]])
    return config.model_copy(update={"report": config.report.model_copy(update={"command": command})})


def start_flow(name: str, *, verbosity: int = 0, **parameters: Any) -> tuple[Any, int]:
    """Run a flow at the terminal.

    Args:
        name: The flow.
        verbosity: 1 and more for what is logged, -1 for errors alone.
        **parameters: The flow's parameters, ``config`` among them.

    Returns:
        Its result, and the command's exit code: 1 where it told of something that is left to do.
    """
    from embedlib.cli.terminal import terminal

    left: list[EmbedlibError] = []

    def tell(error: EmbedlibError) -> None:
        left.append(error)
        print_error(error)

    with terminal(parameters["config"].workspace, name, verbosity) as records:
        result = from_flows("start")(name, tell=tell, records=records, **parameters)
    return result, int(bool(left))


def print_error(error: EmbedlibError) -> None:
    """Print an error's message, once."""
    if error.told:
        return
    error.told = True
    console(stderr=True).print(Text("error: ", "bold red") + plain(error.render()), soft_wrap=True)


def from_flows(name: str) -> Any:
    """What the flows offer under that name: they register it in the entry-point group ``embedlib.flows``."""
    found = entry_points(group="embedlib.flows", name=name)
    if not found:
        raise UserError(
            f"the flows are not installed, or an older version of them: {name!r} is missing",
            remedy="pip install embedlib with its flows and tasks",
        )
    return next(iter(found)).load()


def broken_installation(error: ImportError) -> EmbedlibError:
    """What to say where a library lacks something that was installed with it."""
    module = (error.name or "embedlib").partition(".")[0]
    package = packages_distributions().get(module, [module])[0]
    return EmbedlibError(
        f"the installed packages are broken: {error}",
        remedy=f"`pip check` names a package that is missing, to be installed; where it names none, "
        f"`pip install --force-reinstall --no-deps {package}`",
    )


def emit_json(value: Any) -> None:
    """Print a result for programs; what a terminal would obey stands escaped, as JSON allows."""
    text = json.dumps(value, indent=1, ensure_ascii=False, default=str)
    typer.echo(escape.CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text))

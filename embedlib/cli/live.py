"""Commands on what is live: search, releases, rollback, verify, export."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from embedlib.cli.app import (
    AsJson,
    ConfigFile,
    ConfiguredWorkspace,
    Overrides,
    Workspace,
    app,
    emit_json,
    existing,
    settings,
)
from embedlib.errors import EmbedlibError, counted

if TYPE_CHECKING:
    from embedlib.config.root import Config
    from embedlib.models.encoder import Encoder

AskStore = Annotated[
    bool, typer.Option("--store", help="Ask the vector store that was published into for the vectors.")
]
#: Formats of ``export`` that are the model and not its vectors.
MODEL_FORMATS = ("model", "onnx", "openvino")


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="What to look for.")],
    workspace: Workspace = Path("workspace"),
    k: Annotated[int, typer.Option("-k", help="How many documents.")] = 10,
    mode: Annotated[
        str, typer.Option(help="dense, bm25, hybrid, or auto: as the release's decision chose.")
    ] = "auto",
    rerank: Annotated[str | None, typer.Option(help="Cross-encoder that re-ranks the hits.")] = None,
    where: Annotated[list[str] | None, typer.Option(help="Metadata filter, field=value.")] = None,
    store: AskStore = False,
    as_json: AsJson = False,
) -> None:
    """Search the live release.

    Example: embedlib search "how to join two paths" --workspace ws -k 5
    """
    wished = os.environ.get("OMP_NUM_THREADS")
    if rerank is None:
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # more take longer to wake than one query takes
    from embedlib.cli.show import hits_table
    from embedlib.index.search import Searcher

    options: dict[str, Any] = {"on_demand": True, "load": None if rerank else _for_one_query}
    with contextlib.ExitStack() as ends:
        if store:
            from embedlib.stages.push import open_target, require_target
            from embedlib.stores.searcher import StoreSearcher

            live = settings(None, None, workspace, None, of_live=True, documents=False)
            opened = ends.enter_context(open_target(require_target(live.publish)))
            searcher: Searcher = StoreSearcher(existing(workspace), opened, **options)
        else:
            searcher = Searcher(existing(workspace), **options)
        if searcher.release.rerank is not None and wished is None:
            import torch

            torch.set_num_threads(os.cpu_count() or 1)  # a reranker has work for all of them
        hits = searcher.search(query, k=k, mode=mode, rerank=rerank, filters=_filters(where or []))
    emit_json([hit._asdict() for hit in hits]) if as_json else hits_table(hits)


@app.command()
def releases(workspace: Workspace = Path("workspace"), as_json: AsJson = False) -> None:
    """List the releases, newest first; the live one is marked.

    Example: embedlib releases --workspace ws
    """
    from embedlib.cli.show import releases_table
    from embedlib.evaluation.lineage import model_name
    from embedlib.index import catalog

    root = existing(workspace)
    live = catalog.live_number(root)
    rows = [
        r.model_dump(mode="json")
        | {"live": r.number == live, "model": model_name(r.ref(root, "model")), "answers": r.answers}
        for r in catalog.releases(root)
    ]
    emit_json(rows) if as_json else releases_table(rows)
    catalog.current(root)  # what is wrong with the live one is the last word


@app.command()
def rollback(
    workspace: Workspace = Path("workspace"),
    to: Annotated[int | None, typer.Option(help="Release number; default: the one before.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make an earlier release live again, model and index together, in one step.

    A vector store that is published into follows.

    Example: embedlib rollback --workspace ws
    """
    from embedlib.index import release
    from embedlib.tracking.registry import point_champion

    publish = _live_config(existing(workspace)).publish
    now = release.rollback(workspace, to)
    emit_json(now.model_dump(mode="json")) if as_json else typer.echo(f"release {now.number} is live")
    tracking = _live_config(workspace).tracking
    point_champion(workspace, tracking.model_name, now.parts["model"].digest, uri=tracking.uri)
    if publish.target is not None:
        from embedlib.stages.push import push_index

        push_index(workspace, publish)


@app.command()
def verify(workspace: Workspace = Path("workspace"), as_json: AsJson = False) -> None:
    """Compare every byte of every artifact with its checksum, and every release with its artifacts.

    Example: embedlib verify --workspace ws
    """
    from embedlib.index.release_parts import check_workspace

    found = check_workspace(existing(workspace))
    if as_json:
        emit_json(found._asdict())
    else:
        counts = (
            f"{counted(found.artifacts, 'artifact')}, {len(found.damaged)} damaged; "
            f"{counted(found.releases, 'release')}, {counted(len(found.unusable), 'problem')}"
        )
        typer.echo("\n".join([*found.damaged, *found.unusable, counts]))
    if found.damaged or found.unusable:
        raise typer.Exit(1)


@app.command()
def export(
    out: Annotated[Path, typer.Argument(help="Folder to write; must not exist or be empty.")],
    workspace: Workspace = Path("workspace"),
    fmt: Annotated[
        str, typer.Option("--format", help="parquet or numpy: vectors; model, onnx or openvino: the model.")
    ] = "parquet",
    name: Annotated[str, typer.Option(help="What the model's card calls it.")] = "",
    as_json: AsJson = False,
) -> None:
    """Write the live release's vectors for another vector store, or its model with a card.

    onnx and openvino put the model for that runtime beside it, if it gives the model's vectors and ranks
    the documents of judged queries alike.

    Example: embedlib export vectors/ --workspace ws --format parquet
    """
    if fmt in MODEL_FORMATS:
        from embedlib.cli.model_export import verdict, write_model

        result = write_model(existing(workspace), out, name or out.resolve().name, fmt)
        emit_json(result) if as_json else typer.echo(verdict(result, out))
        return
    from embedlib.index.export import export_release

    result = export_release(existing(workspace), out, fmt=fmt)
    emit_json(result) if as_json else typer.echo(f"{result['count']} vectors in {out}")


@app.command("push-index")
def push_live_index(
    config: ConfigFile = None,
    workspace: ConfiguredWorkspace = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Publish the live release into a vector store: load beside, verify, cut over in one step.

    The store is `publish.target` of the configuration, which is the live release's where none is given.
    `run`, `refresh` and `rollback` do it by themselves where it is configured; after a failure or a kill
    this command goes on.

    Example: embedlib push-index --workspace ws
    """
    from embedlib.progress import LogProgress
    from embedlib.stages.push import push_index

    options = settings(config, None, workspace, overrides, of_live=True, documents=False)
    done = push_index(existing(options.workspace), options.publish, progress=LogProgress())
    if as_json:
        emit_json(done._asdict())
    else:
        how = "was there already" if done.reused else f"{done.sent} rows sent, {done.deleted} deleted"
        typer.echo(f"release {done.release} answers as {done.collection}: {how}")


@app.command("push-model")
def push_model(
    name: Annotated[str, typer.Argument(help="owner/name on the hub.")],
    workspace: Workspace = Path("workspace"),
    public: Annotated[bool, typer.Option("--public", help="A repository made now is public.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be pushed.")] = False,
) -> None:
    """Put the live release's model on a hub, with a card that says what was measured.

    The token is read from HF_TOKEN; HF_ENDPOINT names another hub than Hugging Face's.

    Example: embedlib push-model acme/support-search --workspace ws --dry-run
    """
    from embedlib.cli.model_export import push_live

    push_live(existing(workspace), name, private=not public, dry_run=dry_run)


@app.command()
def serve(
    config: ConfigFile = None,
    workspace: ConfiguredWorkspace = None,
    host: Annotated[str | None, typer.Option(help="Address; any but loopback needs a key.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes any that is free.")] = None,
    store: AskStore = False,
    overrides: Overrides = None,
) -> None:
    """Answer over HTTP from the live release: search, embeddings, reranking, metrics, a page to try it on.

    It follows new releases without a restart. SIGTERM and Ctrl-C let it finish what it has begun.
    Without --config, the configuration of the live release counts; what is given changes it.

    Example: embedlib serve --workspace ws --port 8080
    """
    from embedlib.cli.serving import serve_live

    given = [f"serve.{name}={value}" for name, value in (("host", host), ("port", port)) if value is not None]
    options = settings(config, None, workspace, [*given, *(overrides or [])], of_live=True, documents=False)
    existing(options.workspace)
    serve_live(options, store=store)


def _live_config(root: Path) -> Config:
    """The live release's configuration; the defaults, with a word, where it is not one any more."""
    from embedlib.config.live import live_values
    from embedlib.config.root import load_config

    try:
        return load_config(base=live_values(root, required=False))
    except EmbedlibError as error:
        typer.echo(f"the live release's configuration is left alone: {error}", err=True)
        return load_config()


def _for_one_query(folder: Path) -> Encoder:
    """A model, by the way that is ready soonest."""
    from embedlib.models.numpy_bert import NumpyBert, supports

    if supports(folder):
        return NumpyBert(folder)
    from embedlib.models.local import load_encoder

    return load_encoder(folder)


def _filters(items: list[str]) -> dict[str, list[Any]] | None:
    """Filters of a search; ``year=2024`` finds the number and the text."""
    from embedlib.errors import UserError

    filters: dict[str, list[Any]] = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals:
            raise UserError("a filter without a value", where="--where", expected="field=value", found=item)
        filters.setdefault(key, []).append(value)
        with contextlib.suppress(ValueError, RecursionError):  # no JSON that metadata could hold: a text
            filters[key].append(json.loads(value))
    return filters or None

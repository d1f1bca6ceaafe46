"""A release's model given away: as a folder, or to a hub."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import typer

from embedlib.contracts import Corpus
from embedlib.corpus.profile import sample_rows
from embedlib.index.catalog import Release
from embedlib.index.export import release_to_export
from embedlib.publishing.folder import export_model

#: Documents on which a converted model is compared with the model.
COMPARED = 32


def write_model(workspace: Path, out: Path, name: str, fmt: str) -> dict[str, Any]:
    """The live release's model as a folder with a card; see ``export_model``."""
    release = release_to_export(workspace)
    if fmt == "model":
        return export_model(workspace, release, out, name=name)
    from embedlib.publishing.convert import convert, require
    from embedlib.publishing.judged_sample import judged_sample

    require(fmt)
    texts, judged = _sample(workspace, release), judged_sample(workspace, release)
    checked = partial(convert, runtime=fmt, texts=texts, judged=judged)
    return export_model(workspace, release, out, name=name, convert=checked)


def verdict(result: Mapping[str, Any], out: Path) -> str:
    """What was written, and what another runtime's model was found to give."""
    lines = [f"model of release {result['release']} in {out}"]
    if "runtime" in result:
        line = f"{result['runtime']}: cosine at least {result['cosine']:.5f} on {result['texts']} texts"
        if "ndcg" in result:
            line += f"; nDCG@10 {result['ndcg']:.4f}, the model's {result['model_ndcg']:.4f}, "
            line += f"on {result['queries']} judged queries"
        lines.append(line)
    return "\n".join(lines)


def push_live(workspace: Path, name: str, *, private: bool, dry_run: bool) -> None:
    """Push the live release's model, or show what would be pushed."""
    from embedlib.publishing.hub import push, to_push

    release = release_to_export(workspace)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        export_model(workspace, release, folder, name=name)
        if dry_run:
            typer.echo((folder / "README.md").read_text(encoding="utf-8"))
            for file, size in to_push(folder):
                typer.echo(f"{size:>12,}  {file}")
            typer.echo(f"not pushed: release {release.number} to {name}")
        else:
            message = f"Release {release.number} of {release.created_at[:10]}"
            typer.echo(push(folder, name, private=private, message=message))


def _sample(workspace: Path, release: Release) -> list[str]:
    corpus = Corpus(release.ref(workspace, "corpus").path)
    documents = corpus.take(sample_rows(len(corpus), COMPARED))
    return [f"{d.title} {d.text}".strip() for d in documents]

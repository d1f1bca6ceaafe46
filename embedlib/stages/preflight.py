"""What can be known to be wrong before the first stage: told all at once, each with its option.

Nothing here reads documents, loads a model or asks a service; a check takes milliseconds.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from embedlib.config.base import Section
from embedlib.config.data import AutoLabels, AutoSource, BeirLabels, DocstringsSource, SqlSource
from embedlib.config.evaluation import Evaluate, MtebGuard, RetrievalGuard
from embedlib.config.reranking import OWN
from embedlib.config.root import Config
from embedlib.corpus.beir import corpus_file, qrels_files, queries_file
from embedlib.corpus.docstrings import package_roots
from embedlib.corpus.sql import database_url, require_select
from embedlib.errors import ConfigError, DataError, EmbedlibError
from embedlib.evaluation.measures import parse_measures
from embedlib.models.api_protocols import is_api_spec
from embedlib.models.opening import open_encoder
from embedlib.models.resolve import dimension_of, is_offline, is_static, looks_like_path, resolve_model
from embedlib.stages.push import address_of
from embedlib.stages.sources import found_at
from embedlib.stores.connect import CLIENTS

#: What each flow reads of the configuration.
LIFECYCLE = tuple(name for name in Config.model_fields if name not in ("monitor", "serve"))
REFRESH = ("workspace", "ingest", "encode", "sparse", "index", "publish", "tracking", "run")
DISTIL = ("workspace", "distil", "encode", "sparse", "evaluate", "index", "publish", "tracking", "run")
RERANK = (
    *("workspace", "synthesize", "probe", "mine", "rerank", "model"),
    *("encode", "sparse", "decide", "publish", "tracking", "run"),
)
MONITOR = ("workspace", "ingest", "monitor", "tracking")
EVALUATE = ("workspace", "ingest", "split", "model", "encode", "sparse", "evaluate", "tracking", "run")

#: Options that name a model.
MODELS = (
    *("model.name", "ingest.tokenizer", "sparse.model", "synthesize.seq2seq.model", "mine.cross_encoder"),
    *("mine.teacher_model", "train.guide", "distil.student", "rerank.start", "evaluate.rerank"),
)
#: What such an option may say of a model of the run itself.
OWN_MODELS = {"distil.student": ("layers", "static"), "rerank.start": OWN}
#: What an engine needs beyond embedlib itself.
ENGINES = {"dask": "prefect_dask", "ray": "prefect_ray"}


def preflight(
    config: Config, sections: Sequence[str] = tuple(Config.model_fields), *, models: Sequence[str] = ()
) -> None:
    """Check every path, name, measure, guard, variable and package that a configuration names.

    Raises:
        ConfigError: Listing every mistake with its option.
    """
    checks: dict[str, Callable[[Config], Iterator[str]]] = {
        "workspace": _workspace,
        "ingest": _ingest,
        "split": _split,
        "evaluate": lambda c: _evaluate(c.evaluate),
        "train": _train,
        "index": _index,
        "publish": _publish,
        "rerank": _rerank,
        "run": _run,
    }
    problems = [
        *_paths(config, sections),
        *_models(config, sections, models),
        *(problem for name in sections if name in checks for problem in checks[name](config)),
        *_variables(config, sections),
    ]
    if problems:
        raise ConfigError(
            list(dict.fromkeys(problems)),
            where="checked before the first stage",
            remedy="mend them and give the same command again; `embedlib config --check FILE` checks a file",
        )


def _paths(config: Config, sections: Sequence[str]) -> Iterator[str]:
    """Every path that is named is there; those that have a check of their own are left to it."""
    for option, value in _options(config, sections):
        if isinstance(value, Path) and option != "workspace" and not value.expanduser().exists():
            yield f"{option}: there is no such file or folder; found {str(value)!r}"


def _models(config: Config, sections: Sequence[str], more: Sequence[str]) -> Iterator[str]:
    """Every model that would be looked for on this machine is there."""
    given = dict(_options(config, sections))
    if given.get("ingest.tokenizer") == given.get("model.name"):
        given.pop("ingest.tokenizer", None)  # it follows from the model and would be told twice
    for option, name in [*((option, given.get(option)) for option in MODELS), *(("model", n) for n in more)]:
        if name in OWN_MODELS.get(option, ()):
            continue
        if option == "model" and is_api_spec(str(name)):
            yield from _told(option, open_encoder, name)  # only evaluated
        elif isinstance(name, str) and (is_api_spec(name) or _is_looked_for_here(name)):
            yield from _told(option, resolve_model, name)


def _is_looked_for_here(name: str) -> bool:
    return looks_like_path(name) or Path(name).is_dir() or is_offline()


def _variables(config: Config, sections: Sequence[str]) -> Iterator[str]:
    """Every environment variable that holds a key is set; a server on loopback needs none."""
    for option, value in _options(config, [name for name in sections if name != "serve"]):
        if option.endswith(".key_env") and value and not os.environ.get(value):
            yield f"{option}: the environment variable {value} is not set"


def _workspace(config: Config) -> Iterator[str]:
    path = config.workspace.expanduser().resolve()
    if path.exists() and not path.is_dir():
        yield f"workspace: a file stands there; found {str(path)!r}"
        return
    there = next(p for p in (path, *path.parents) if p.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        yield f"workspace: nothing can be written there; found {str(path)!r}"


def _ingest(config: Config) -> Iterator[str]:
    match config.ingest.source:
        case AutoSource() as found if found.path.expanduser().exists():
            yield from _told("ingest.source", found_at, found)
        case SqlSource() as source:
            yield from _told("ingest.source.url_env", database_url, source.url_env)
            for option in ("query", "version_query"):
                if query := getattr(source, option):
                    yield from _told(f"ingest.source.{option}", require_select, query)
        case DocstringsSource(packages=packages):
            yield from _told("ingest.source.packages", package_roots, packages)


def _split(config: Config) -> Iterator[str]:
    labels = config.split.labels
    if isinstance(labels, BeirLabels) and labels.path.is_dir():
        yield from _told("split.labels.path", queries_file, labels.path)


def _evaluate(options: Evaluate) -> Iterator[str]:
    yield from _told("evaluate.measures", parse_measures, options.measures)
    for number, guard in enumerate(options.chosen_guards):
        option = f"evaluate.guards.{number}"
        if isinstance(guard, MtebGuard) and find_spec("mteb") is None:
            yield f"{option}: the task {guard.task!r} needs: pip install 'embedlib[mteb]'"
        if isinstance(guard, RetrievalGuard):
            yield from _told(f"{option}.measure", parse_measures, [guard.measure])
            if guard.folder.is_dir():
                yield from _told(option, _require_judged, guard.folder, guard.split)


def _require_judged(folder: Path, split: str) -> None:
    corpus_file(folder)
    queries_file(folder)
    if split not in (found := qrels_files(folder)):
        raise DataError(f"no judgements of the split {split!r}", found=", ".join(found) or "no qrels at all")


def _train(config: Config) -> Iterator[str]:
    name = config.model.name
    if is_api_spec(name) or not _is_looked_for_here(name):
        return
    with suppress(EmbedlibError):  # told where the model is named
        if is_static(resolve_model(name)):
            yield (
                "model.name: a static model has no layers to train: name a transformer, and "
                f"`distil.objective: speed` for a static student of it; found {name!r}"
            )


def _index(config: Config) -> Iterator[str]:
    factory = config.index.factory
    if factory in ("auto", "binary"):
        return
    try:
        dimension = dimension_of(resolve_model(config.model.name))
    except EmbedlibError:
        return  # told where the model is named
    shown = [d for d in (config.model.dimension, config.index.dimension, dimension) if d]
    if dimension and shown:
        from embedlib.index.build import create_index

        yield from _told("index.factory", create_index, factory, min(shown))


def _rerank(config: Config) -> Iterator[str]:
    if (
        config.rerank.start == "served"
        and config.distil.objective != "quality"
        and config.distil.kind == "static"
    ):
        yield "rerank.start: a static student has no layers that a reranker could start from; name base"


def _run(config: Config) -> Iterator[str]:
    package = ENGINES.get(config.run.task_runner)
    if package and find_spec(package) is None:
        engine = config.run.task_runner
        yield f"run.task_runner: {engine!r} needs: pip install 'embedlib[{engine}]'"


def _publish(config: Config) -> Iterator[str]:
    target = config.publish.target
    if target is not None:
        yield from _told("publish.target", address_of, target)
        if find_spec(CLIENTS[target.type]) is None:
            yield f"publish.target.type: {target.type!r} needs: pip install 'embedlib[{target.type}]'"


def _told(option: str, check: Callable[..., Any], *arguments: Any) -> Iterator[str]:
    """What a check says of an option; nothing where it passes."""
    try:
        check(*arguments)
    except ConfigError as error:
        yield from (f"{option}: {problem}" for problem in error.problems)
    except EmbedlibError as error:
        more = [f"{label} {text}" for label in ("expected", "found") if (text := getattr(error, label))]
        yield "; ".join([f"{option}: {error.what}", *more, *([error.remedy] if error.remedy else [])])


def _options(config: Config, sections: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Every option with its dotted name; labels that were only looked for beside the documents are none."""
    for name in sections:
        yield from _leaves(name, getattr(config, name))


def _leaves(option: str, value: Any) -> Iterator[tuple[str, Any]]:
    match value:
        case AutoLabels():
            return
        case Section():
            for name in type(value).model_fields:
                yield from _leaves(f"{option}.{name}", getattr(value, name))
        case Mapping():
            for name, item in value.items():
                yield from _leaves(f"{option}.{name}", item)
        case tuple() | list():
            for number, item in enumerate(value):
                yield from _leaves(f"{option}.{number}", item)
        case _:
            yield option, value

"""Commands about models: recommend, compare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from embedlib.cli.app import (
    AsJson,
    ConfigFile,
    ConfiguredWorkspace,
    Data,
    Overrides,
    app,
    emit_json,
    settings,
)

if TYPE_CHECKING:
    from embedlib.evaluation.compare_models import ModelComparison


@app.command()
def recommend(
    min_quality: Annotated[float | None, typer.Option(help="Least score of the measure, percent.")] = None,
    measure: Annotated[str, typer.Option(help="Figure that quality is ranked by.")] = "mteb-v1-retrieval",
    max_latency_ms: Annotated[float | None, typer.Option(help="Longest time for one query.")] = None,
    max_memory_mb: Annotated[float | None, typer.Option(help="Most memory for the weights.")] = None,
    max_price: Annotated[float | None, typer.Option(help="Most US dollars per million tokens.")] = None,
    document_tokens: Annotated[int | None, typer.Option(help="Tokens seen in one piece.")] = None,
    language: Annotated[list[str] | None, typer.Option(help="ISO 639-1 code; may be repeated.")] = None,
    domain: Annotated[str | None, typer.Option(help="Subject of the texts.")] = None,
    gpu: Annotated[bool, typer.Option("--gpu", help="A GPU is at hand.")] = False,
    api: Annotated[bool, typer.Option("--api/--no-api", help="Texts may leave this machine.")] = True,
    fine_tunable: Annotated[
        bool, typer.Option("--fine-tunable", help="It is to be fine-tuned here.")
    ] = False,
    commercial: Annotated[bool, typer.Option("--commercial", help="The licence must allow it.")] = False,
    max_dimension: Annotated[int | None, typer.Option(help="Most components a vector.")] = None,
    prefer: Annotated[str, typer.Option(help="quality, speed, memory or price.")] = "quality",
    as_json: AsJson = False,
) -> None:
    """Rank known models against requirements, with reasons and what ruled others out.

    Example: embedlib recommend --no-api --fine-tunable --max-memory-mb 500
    """
    from pydantic import ValidationError

    from embedlib.errors import ConfigError
    from embedlib.models.catalog import load_catalog
    from embedlib.models.selection import Requirements
    from embedlib.models.selection import recommend as rank

    values = {
        "min_quality": min_quality,
        "measure": measure,
        "max_latency_ms": max_latency_ms,
        "max_memory_mb": max_memory_mb,
        "max_price": max_price,
        "document_tokens": document_tokens,
        "languages": language or ["en"],
        "domain": domain,
        "gpu": gpu,
        "api_allowed": api,
        "fine_tunable": fine_tunable,
        "prefer": prefer,
        "commercial": commercial,
        "max_dimension": max_dimension,
    }
    try:
        requirements = Requirements.model_validate(values)
    except ValidationError as error:
        problems = [f"{e['loc'][0]}: {e['msg']}; found {e['input']!r}" for e in error.errors()]
        raise ConfigError(problems, where="recommend", remedy="`embedlib recommend --help`") from None
    result = rank(requirements, load_catalog())
    emit_json(_as_json(result)) if as_json else _print(result, measure)


@app.command()
def compare(
    data: Data = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="Name, folder, or provider:name behind an API; repeat it."),
    ] = None,
    split: Annotated[str, typer.Option(help="Split whose queries are scored.")] = "test",
    config: ConfigFile = None,
    workspace: ConfiguredWorkspace = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Measure models on your own data: quality with intervals, speed, memory, cost.

    Example: embedlib compare --data docs/ --model all-MiniLM-L6-v2 --model openai:text-embedding-3-small
    """
    import numpy as np

    from embedlib.config.live import with_documents
    from embedlib.contracts import Corpus
    from embedlib.errors import UserError
    from embedlib.evaluation.compare_models import Trial, compare_models
    from embedlib.evaluation.judged import primary_set, read_judged
    from embedlib.progress import LogProgress
    from embedlib.stages.base import run_stage
    from embedlib.stages.ingest import STAGE as INGEST
    from embedlib.stages.split import STAGE as SPLIT
    from embedlib.store import Store

    options = with_documents(settings(config, data, workspace, overrides))
    store = Store(options.workspace)
    documents = run_stage(store, INGEST, options.ingest, seed=options.seed).ref
    queries = run_stage(store, SPLIT, options.split, seed=options.seed, corpus=documents).ref
    corpus = Corpus(documents.path)
    judged = primary_set(read_judged(corpus, queries.path, split))
    if judged is None:
        raise UserError(f"no judged query in the {split} split", where=str(data), remedy="give labels")
    found = compare_models(
        model or [options.model.name],
        Trial(corpus, judged),
        rng=np.random.default_rng(options.seed),
        progress=LogProgress(),
    )
    emit_json(found.as_dict()) if as_json else _print_comparison(found)


def _print_comparison(found: ModelComparison) -> None:
    from embedlib.cli.show import print_table

    measures = list(found.rows[0].quality)
    rows = [
        (
            row.model,
            *(row.quality[m].mean for m in measures),
            *(_round(x) for x in (row.dimension, row.tokens_per_s, row.peak_memory_mb, row.cost)),
        )
        for row in found.rows
    ]
    print_table(("model", *measures, "dimension", "tokens/s", "peak MiB", "US$"), rows)
    differences = [
        (f"{c.system} − {c.baseline}", c.difference.mean, c.difference.low, c.difference.high, c.p_holm)
        for c in found.comparisons
        if c.measure == measures[0]
    ]
    print_table((f"difference in {measures[0]}", "mean", "low", "high", "p (Holm)"), differences)


def _round(value: float | None) -> str:
    return "" if value is None else f"{value:,.4g}" if value < 100 else f"{value:,.0f}"


def _as_json(result: Any) -> dict[str, Any]:
    return {
        "ranked": [
            {
                "model": c.model.name,
                "quality": c.quality,
                "latency_ms": c.latency_ms,
                "memory_mb": c.memory_mb,
                "price": c.price,
                "dimension": c.dimension,
                "reasons": c.reasons,
                "caveats": c.caveats,
            }
            for c in result.ranked
        ],
        "ruled_out": {r.model.name: [o.reason for o in r.objections] for r in result.ruled_out},
    }


def _print(result: Any, measure: str) -> None:
    from embedlib.cli.show import print_table

    rows = [
        (
            i,
            c.model.name,
            c.quality if c.quality is not None else "unknown",
            c.dimension,
            "; ".join(c.reasons),
        )
        for i, c in enumerate(result.ranked, 1)
    ]
    print_table(("rank", "model", measure, "dimension", "because"), rows)
    out = [(r.model.name, "; ".join(o.reason for o in r.objections)) for r in result.ruled_out]
    print_table(("ruled out", "because"), out)

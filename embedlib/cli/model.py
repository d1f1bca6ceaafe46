"""The command that chooses among known models: recommend."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from embedlib.cli.app import AsJson, app, emit_json


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


_SHOWN = ("quality", "latency_ms", "memory_mb", "price", "dimension", "reasons", "caveats")


def _as_json(result: Any) -> dict[str, Any]:
    return {
        "ranked": [
            {"model": c.model.name, **{name: getattr(c, name) for name in _SHOWN}} for c in result.ranked
        ],
        "ruled_out": {r.model.name: [o.reason for o in r.objections] for r in result.ruled_out},
    }


def _print(result: Any, measure: str) -> None:
    from embedlib.cli.show import print_table

    rows = [
        (i, c.model.name, "unknown" if c.quality is None else c.quality, c.dimension, "; ".join(c.reasons))
        for i, c in enumerate(result.ranked, 1)
    ]
    print_table(("rank", "model", measure, "dimension", "because"), rows)
    out = [(r.model.name, "; ".join(o.reason for o in r.objections)) for r in result.ruled_out]
    print_table(("ruled out", "because"), out)

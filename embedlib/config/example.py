"""An annotated example of the configuration, made from the models so that it cannot drift."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Sequence
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic_core import to_jsonable_python

#: The options that people set first; a section's name stands for all that is in it.
FIRST = (
    *("workspace", "seed", "ingest.source", "ingest.chunk.max_tokens", "split.labels"),
    *("model.name", "model.query_prompt", "model.document_prompt", "synthesize.llm", "mine.teacher"),
    *("train.start", "train.loss", "train.max_tokens", "distil.objective", "evaluate.measures"),
    *("evaluate.guards", "decide.approval", "decide.min_effect", "index.memory_mb", "index.latency_ms"),
    *("monitor.labels", "tracking.uri", "run.workers"),
)

FIRST_LINE = "The first options to know; `embedlib config --all` prints every one.\n#"


def annotated_example(model: type[BaseModel], chosen: Collection[str] | None = None) -> str:
    """Options with their descriptions, bounds and defaults, as YAML: all of them, or the ``chosen`` paths.

    The result is a valid configuration: the defaults, written out.
    """
    every = "Every option with its default." if chosen is None else FIRST_LINE
    head = f"# {every} A file that names only the documents is complete:\n"
    head += "#   ingest: {source: {type: auto, path: docs/}}\n\n"
    return head + "\n".join(_lines(model, model.model_construct(), (), chosen)) + "\n"


def _lines(
    model: type[BaseModel], values: BaseModel, place: tuple[str, ...], chosen: Collection[str] | None
) -> list[str]:
    depth, pad = len(place), "  " * len(place)
    lines: list[str] = []
    for name, field in model.model_fields.items():
        path = ".".join((*place, name))
        inside = None if chosen is None or path in chosen else [c for c in chosen if c.startswith(f"{path}.")]
        if inside == []:
            continue
        value = getattr(values, name)
        note = " ".join((field.description or "").split())
        limits = _limits(field.metadata)
        text = f"{note} [{limits}]" if limits else note
        lines += [f"{pad}# {line}" for line in textwrap.wrap(text, 100 - 2 * depth)]
        if isinstance(value, BaseModel):
            inner = _lines(type(value), value, (*place, name), inside)
            lines += [f"{pad}{name}:" if inner else f"{pad}{name}: {{}}", *inner]
        else:
            lines.append(f"{pad}{name}: {_scalar(value)}")
    return lines


def _limits(metadata: Sequence[Any]) -> str:
    """Bounds as a person writes them."""
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "min_length": "length ≥", "max_length": "length ≤"}
    found = ((sign, getattr(m, name, None)) for m in metadata for name, sign in signs.items())
    return ", ".join(f"{sign} {bound}" for sign, bound in found if bound is not None)


def _scalar(value: Any) -> str:
    plain = to_jsonable_python(value)
    return yaml.safe_dump(plain, default_flow_style=True, width=10_000).replace("\n...", "").strip()

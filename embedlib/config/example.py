"""An annotated example of the configuration, made from the models so that it cannot drift."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import yaml
from pydantic import BaseModel


def annotated_example(model: type[BaseModel]) -> str:
    """Every section and option with its description, bounds and default, as YAML.

    The result is a valid configuration: the defaults, written out.
    """
    head = "# Every option with its default. A file that names only the documents is complete:\n"
    head += "#   ingest: {source: {type: auto, path: docs/}}\n\n"
    return head + "\n".join(_lines(model, model.model_construct(**_defaults(model)), 0)) + "\n"


def _defaults(model: type[BaseModel]) -> dict[str, Any]:
    return {name: field.get_default(call_default_factory=True) for name, field in model.model_fields.items()}


def _lines(model: type[BaseModel], values: BaseModel, depth: int) -> list[str]:
    pad = "  " * depth
    lines: list[str] = []
    for name, field in model.model_fields.items():
        value = getattr(values, name)
        note = " ".join((field.description or "").split())
        limits = _limits(field.metadata)
        text = f"{note} [{limits}]" if limits else note
        lines += [f"{pad}# {line}" for line in textwrap.wrap(text, 100 - 2 * depth)]
        if isinstance(value, BaseModel):
            inner = _lines(type(value), value, depth + 1)
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
    return yaml.safe_dump(_plain(value), default_flow_style=True, width=10_000).replace("\n...", "").strip()


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, tuple | list | set | frozenset):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return value if isinstance(value, int | float | str | bool | None) else str(value)

"""YAML as a configuration may be written: plain values, each key once, nothing that grows when it is read."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError
from yaml.events import AliasEvent
from yaml.nodes import MappingNode, Node

#: Sections in sections: the configuration itself has five.
DEEPEST = 20


class PlainLoader(yaml.SafeLoader):
    """Words are words: ``on``, ``no`` and dates are text; only ``true`` and ``false`` are truth values."""

    depth = 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        """A node; aliases and very deep ones are refused."""
        if self.check_event(AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise ComposerError(None, None, "aliases are not taken: write the value out", event.start_mark)
        self.depth += 1
        if self.depth > DEEPEST:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise ComposerError(None, None, f"more than {DEEPEST} levels, one in the other", mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """A mapping whose keys are all different."""
        lines: dict[str, int] = {}
        for key, _ in node.value:
            first = lines.setdefault(str(key.value), key.start_mark.line + 1)
            if first != key.start_mark.line + 1:
                problem = f"the key {key.value!r} stands here a second time, first in line {first}"
                raise ConstructorError(None, None, problem, key.start_mark)
        if len(lines) != len(node.value):
            raise ConstructorError(None, None, "a key stands here twice", node.start_mark)
        return super().construct_mapping(node, deep)


TEXT = ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")
PlainLoader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag not in TEXT]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
TRUTH = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")
PlainLoader.add_implicit_resolver("tag:yaml.org,2002:bool", TRUTH, list("tTfF"))


def parse(text: str) -> Any:
    """The value of a YAML text.

    Raises:
        ValueError: It is not YAML, or not plain; the message says where.
    """
    try:
        return yaml.load(text, PlainLoader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except RecursionError as error:
        raise ValueError(f"more than {DEEPEST} levels, one in the other") from error

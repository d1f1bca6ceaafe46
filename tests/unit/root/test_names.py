"""A public class name has one meaning in the whole code base."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
#: Both frameworks name a retriever by its vendor: ``from embedlib.integrations.langchain import …``.
SHARED = {"EmbedlibRetriever"}


def defined_twice(root: Path) -> Mapping[str, list[str]]:
    """Public class names that more than one module defines, with the modules."""
    places = defaultdict(list)
    for package in ("embedlib", "flows", "tasks"):
        for path in sorted((root / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    places[node.name].append(f"{path.relative_to(root)}:{node.lineno}")
    return {name: found for name, found in places.items() if len(found) > 1}


def test_a_class_name_is_defined_once() -> None:
    assert defined_twice(ROOT).keys() == SHARED


def test_a_second_definition_is_found(tmp_path: Path) -> None:
    for package in ("embedlib", "flows"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "x.py").write_text("class Plan:\n    pass\n")
    assert defined_twice(tmp_path) == {"Plan": ["embedlib/x.py:1", "flows/x.py:1"]}

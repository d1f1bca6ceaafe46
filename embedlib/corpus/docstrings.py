"""Docstrings as documents: read from source with ``ast``, importing nothing.

The standard library's docstrings are real technical text that every machine with Python has: the
summary line is the title, the rest of the docstring the text.
"""

from __future__ import annotations

import ast
import inspect
import re
import sysconfig
import warnings
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from embedlib.corpus.records import Item, Record, Rejected
from embedlib.errors import DataError

#: Folders of the standard library that hold tests, generated code or programs rather than an interface.
SKIPPED = frozenset(
    {"test", "tests", "idlelib", "lib2to3", "site-packages", "dist-packages", "turtledemo", "__pycache__"}
    | {"ensurepip", "pydoc_data", "_vendor", "vendor", "lib-dynload", "config-3", "encodings"}
)
MIN_SUMMARY_WORDS, MIN_BODY_WORDS = 3, 10

_Defined = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def standard_library() -> Path:
    """Folder of the running Python's standard library."""
    return Path(sysconfig.get_path("stdlib"))


def package_roots(names: Sequence[str]) -> list[Path]:
    """Folders of installed packages (found, not imported) or of paths; the standard library for none.

    Raises:
        DataError: A name is neither.
    """
    return [_root(name) for name in names] if names else [standard_library()]


def _root(name: str) -> Path:
    if Path(name).is_dir():
        return Path(name)
    try:
        spec = find_spec(name) if name.isidentifier() else None
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            f"no package {name!r}",
            expected="the import name of an installed package, or a folder",
            remedy="check ingest.source.packages",
        )
    return Path(next(iter(spec.submodule_search_locations)))


def source_files(root: Path) -> list[Path]:
    """Python files below ``root`` that hold an interface, sorted by relative path."""
    files = (p for p in root.rglob("*.py") if p.is_file())
    kept = [p for p in files if _holds_interface(p.relative_to(root))]
    return sorted(kept, key=lambda p: p.relative_to(root).as_posix())


def _holds_interface(relative: Path) -> bool:
    parts = relative.with_suffix("").parts
    return not SKIPPED.intersection(parts) and all(map(_public, parts))


def docstring_documents(roots: Sequence[Path]) -> Iterator[Item]:
    """Summary line and body of every useful docstring below ``roots``, in a fixed order.

    A docstring is useful when its name is public, its summary has at least three words and its body at
    least ten, and no earlier one has the same summary or body (overriding methods repeat theirs).
    """
    summaries: set[str] = set()
    bodies: set[str] = set()
    for root in roots:
        for path in source_files(root):
            for item in _documents_of(path, root):
                if isinstance(item, Record):
                    summary, body = item.title.casefold(), item.text.casefold()
                    if summary in summaries or body in bodies:
                        continue
                    summaries.add(summary)
                    bodies.add(body)
                yield item


def _documents_of(path: Path, root: Path) -> Iterator[Item]:
    relative = path.relative_to(root)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # old escapes in other people's source
            tree = ast.parse(path.read_bytes(), filename=relative.as_posix())
    except (SyntaxError, ValueError, RecursionError, OSError) as error:
        yield Rejected(relative.as_posix(), f"not Python that can be read: {error}")
        return
    names = [*(() if root == standard_library() else (root.name,)), *relative.with_suffix("").parts]
    module = ".".join(name for name in names if name != "__init__")
    for name, node in _definitions(tree, module):
        docstring = ast.get_docstring(node, clean=True)
        parts = _summary_and_body(docstring) if docstring else None
        if parts:
            line = getattr(node, "lineno", 1)
            yield Record(name, *parts, f"{relative.as_posix()}:{line}")


def _definitions(node: _Defined, name: str) -> Iterator[tuple[str, _Defined]]:
    yield name, node
    for child in node.body:
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and _public(child.name):
            yield from _definitions(child, f"{name}.{child.name}")


def _public(name: str) -> bool:
    return not name.startswith("_") or name.startswith("__")


def _summary_and_body(docstring: str) -> tuple[str, str] | None:
    paragraphs = re.split(r"\n\s*\n", inspect.cleandoc(docstring).strip(), maxsplit=1)
    if len(paragraphs) < 2:
        return None
    summary, body = " ".join(paragraphs[0].split()), paragraphs[1].strip()
    if len(summary.split()) < MIN_SUMMARY_WORDS or len(body.split()) < MIN_BODY_WORDS:
        return None
    return summary, body

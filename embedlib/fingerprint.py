"""What a stage's result depends on, as digests: code, configuration, files and inputs."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

#: Modules and packages that cannot change what a stage computes, only how it is run or reported.
INFRASTRUCTURE = frozenset(
    f"embedlib.{name}"
    for name in (
        *("artifact", "config", "disk", "errors", "fingerprint", "integrity", "process", "progress"),
        *("stages.base", "store", "tracking"),
    )
)


def digest(value: Any) -> str:
    """SHA-256 of a JSON value, keys sorted; 32 hexadecimal digits (128 bits)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def package_version(name: str) -> str:
    """An installed package's version, or ``absent``."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "absent"


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits, read in blocks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def tree_digest(path: Path, names: Iterable[str] | None = None) -> str:
    """Digest of a file, or of every file below a folder by relative name and content."""
    if path.is_file():
        return file_sha256(path)[:32]
    files = sorted(p for p in path.rglob("*") if p.is_file()) if names is None else [path / n for n in names]
    return digest([[f.relative_to(path).as_posix(), file_sha256(f)] for f in files])


def recipe_fingerprint(stage: str, code: str, config: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """Identity of a result before it exists.

    Args:
        stage: The stage's name.
        code: Digest of the stage's code, see ``code_digest``.
        config: The options that can change the result, as JSON values.
        inputs: Name of each input and the digest of its *content*. Content rather than the
            input's own fingerprint, so that an input that was built anew and came out the same
            causes no work downstream.
    """
    return digest({"stage": stage, "code": code, "config": dict(config), "inputs": dict(inputs)})


@cache
def code_digest(module: str) -> str:
    """Digest of a module's code and of every embedlib module that it imports, directly or not.

    Comments, docstrings and formatting do not count; ``INFRASTRUCTURE`` does not count either, nor do
    configuration classes, which are part of it (their values are in the recipe).
    """
    return digest({name: _normalised(name) for name in sorted(_closure(module))})


def _closure(module: str) -> set[str]:
    seen: set[str] = set()
    todo = [module]
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        todo += [n for n in _imports(name) if not _is_infrastructure(n)]
    return seen


def _is_infrastructure(name: str) -> bool:
    return any(name == known or name.startswith(f"{known}.") for known in INFRASTRUCTURE)


@cache
def _source(name: str) -> str | None:
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    return Path(spec.origin).read_text(encoding="utf-8")


@cache
def _imports(name: str) -> frozenset[str]:
    """The embedlib modules named by a module's import statements, wherever they stand."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(_source(name) or "")):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                is_ours = node.module.split(".")[0] == "embedlib"
                found.add(inner if is_ours and _source(inner) is not None else node.module)
    return frozenset(n for n in found if n.startswith("embedlib.") and _source(n) is not None)


def _normalised(name: str) -> str:
    tree = ast.parse(_source(name) or "")
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)

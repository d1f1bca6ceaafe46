"""Running ingest and split on what a test wrote."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from embedlib.artifact import ArtifactRef
from embedlib.config.data import Ingest, Split
from embedlib.contracts import read_rows
from embedlib.stages.base import run_stage
from embedlib.stages.ingest import STAGE as INGEST
from embedlib.stages.split import STAGE as SPLIT
from embedlib.store import Store


@pytest.fixture
def ingest(store: Store) -> Callable[..., ArtifactRef]:
    """``ingest(source, **options)`` → the corpus artifact."""

    def build(source: dict[str, Any] | Path, **options: Any) -> ArtifactRef:
        source = {"type": "auto", "path": source} if isinstance(source, Path) else source
        return run_stage(store, INGEST, Ingest(source=source, **options)).ref

    return build


@pytest.fixture
def split(store: Store) -> Callable[..., ArtifactRef]:
    """``split(corpus, labels, **options)`` → the queries artifact."""

    def build(corpus: ArtifactRef, labels: dict[str, Any] | None = None, **options: Any) -> ArtifactRef:
        config = Split(labels=labels or {"type": "none"}, **options)
        return run_stage(store, SPLIT, config, corpus=corpus).ref

    return build


@pytest.fixture
def rows() -> Callable[[ArtifactRef, str], list[dict[str, Any]]]:
    """``rows(artifact, file)`` → a Parquet or JSONL file's rows."""

    def read(ref: ArtifactRef, name: str) -> list[dict[str, Any]]:
        if name.endswith(".jsonl"):
            return [json.loads(line) for line in ref.file(name).read_text("utf-8").splitlines()]
        return list(read_rows(ref.file(name)))

    return read


@pytest.fixture
def jsonl(tmp_path: Path) -> Callable[..., Path]:
    """``jsonl(*documents, name=...)`` → a file with one object a line."""

    def write(*documents: dict[str, Any], name: str = "corpus.jsonl") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(d) + "\n" for d in documents), encoding="utf-8")
        return path

    return write

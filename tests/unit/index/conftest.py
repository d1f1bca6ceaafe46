"""Workspaces whose models are toys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import index_workspace
import pytest
from index_workspace import Workspace

from embedlib.index.dense import faiss_threads


@pytest.fixture
def toy_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Model folders of ``index_workspace`` are loaded in place of sentence-transformers ones."""
    monkeypatch.setattr("embedlib.stages.index.load_encoder", index_workspace.load)
    monkeypatch.setattr("embedlib.models.local.load_encoder", index_workspace.load)


@pytest.fixture
def workspace(tmp_path: Path, toy_models: None) -> Workspace:
    """An empty workspace."""
    return Workspace(tmp_path / "ws")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small indexes are built faster by one thread, and the same way every time."""
    with faiss_threads(1):
        yield

"""Workspaces: one released by the real stages and copied for each test, and empty ones with toy models."""

from __future__ import annotations

import shutil
from pathlib import Path

import index_workspace
import pytest
from index_workspace import Workspace
from published import publish_base, save_bag_model, small_config, write_beir


@pytest.fixture(scope="session")
def release_template(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """Folder with ``data`` (BEIR), ``model`` and ``workspace`` (release 1 of that model)."""
    folder = tmp_path_factory.mktemp("released")
    model = save_bag_model(folder / "model", tiny_model)
    publish_base(small_config(folder / "workspace", write_beir(folder / "data", documents=160), model))
    return folder


@pytest.fixture
def released(release_template: Path, tmp_path: Path) -> Path:
    """A workspace with one release, to be spoiled."""
    return Path(shutil.copytree(release_template / "workspace", tmp_path / "workspace", symlinks=True))


@pytest.fixture
def toy_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Model folders of ``index_workspace`` are loaded in place of sentence-transformers ones."""
    monkeypatch.setattr("embedlib.stages.index.load_encoder", index_workspace.load)
    monkeypatch.setattr("embedlib.models.local.load_encoder", index_workspace.load)


@pytest.fixture
def workspace(tmp_path: Path, toy_models: None) -> Workspace:
    """An empty workspace."""
    return Workspace(tmp_path / "ws")

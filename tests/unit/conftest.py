"""A released workspace, built once by the real stages and copied for each test that wants one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
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

"""Fixtures of the tests on a real server."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from orchestra import Orchestra
from published import publish_base, save_bag_model, small_config, write_beir


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """Folder with ``data`` (BEIR), ``model`` and ``workspace`` (a release of that model)."""
    folder = tmp_path_factory.mktemp("material")
    model = save_bag_model(folder / "model", tiny_model)
    publish_base(small_config(folder / "workspace", write_beir(folder / "data", documents=160), model))
    return folder


@pytest.fixture
def settings(material: Path, tmp_path: Path) -> dict[str, Any]:
    """A configuration whose whole lifecycle takes seconds, in an empty workspace."""
    return {
        "workspace": str(tmp_path / "ws"),
        "ingest": {"source": {"type": "auto", "path": str(material / "data")}},
        "model": {"name": str(material / "model")},
        "encode": {"precision": "fp32"},
        "probe": {"enabled": False},
        "train": {"epochs": 1, "batch_size": 16, "precision": "fp32"},
        "evaluate": {"guards": []},
        "tracking": {"register_model": False},
    }


@pytest.fixture
def released(material: Path, settings: dict[str, Any]) -> Path:
    """The configured workspace with one release in it."""
    return Path(shutil.copytree(material / "workspace", settings["workspace"], symlinks=True))


@pytest.fixture
def orchestra(tmp_path: Path) -> Iterator[Orchestra]:
    """A server that answers; nothing is deployed yet."""
    made = Orchestra(tmp_path / "orchestra")
    try:
        made.start_server()
        yield made
    finally:
        made.close()

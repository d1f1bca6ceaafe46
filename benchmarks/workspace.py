"""What benchmarks share: their arguments, the machine, and package descriptions as artifacts."""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a process whose memory is measured imports no more than it needs
    from embedlib.artifact import ArtifactRef
    from embedlib.config.data import Ingest
    from embedlib.config.models import Model
    from embedlib.store import Store

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("EMBEDLIB_TEST_DATA", ROOT.parent / "shared" / "data"))
WORKSPACE = Path(os.environ.get("EMBEDLIB_BENCH_WORKSPACE", "/tmp/embedlib-bench"))
#: Word pieces that are encoded of a document; fewer make the first run shorter and the vectors no less real.
MAX_LENGTH = int(os.environ.get("EMBEDLIB_BENCH_MAX_LENGTH", "256"))


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """A parser that shows a module's docstring as it is written."""
    return argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)


def debian(count: int | None = None) -> Iterator[dict[str, Any]]:
    """The first records of ``scale-debian``, descriptions of packages: ``_id``, ``title``, ``text``."""
    with gzip.open(DATA / "scale-debian" / "corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
        yield from map(json.loads, itertools.islice(lines, count))


def encoded(store: Store, documents: Ingest, model: Model) -> dict[str, ArtifactRef]:
    """Documents, a model, and the documents' vectors by it."""
    from embedlib.config.models import Encode
    from embedlib.stages import encode, ingest, pin
    from embedlib.stages.base import run_stage

    parts = {
        "corpus": run_stage(store, ingest.STAGE, documents).ref,
        "model": run_stage(store, pin.STAGE, model).ref,
    }
    return {**parts, "vectors": run_stage(store, encode.STAGE, Encode(), **parts).ref}


def in_own_process(module: str, *given: str) -> dict[str, Any]:
    """The last line that a benchmark's module prints in a process of its own, from JSON."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *given]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def real_vectors(store: Store) -> dict[str, ArtifactRef]:
    """The 63,905 descriptions by all-MiniLM-L6-v2, made once and kept; the first call takes minutes."""
    from embedlib.config.data import BeirSource, Ingest
    from embedlib.config.models import Model

    documents = Ingest(source=BeirSource(path=DATA / "scale-debian"))
    return encoded(store, documents, Model(max_length=MAX_LENGTH))


def machine(*packages: str) -> str:
    """The machine and the versions, for the head of a benchmark's output."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    cpu = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), platform.machine())
    versions = ", ".join(f"{name} {version(name)}" for name in packages or ("faiss-cpu", "torch", "numpy"))
    return f"{cpu}, {len(os.sched_getaffinity(0))} cores; Python {platform.python_version()}, {versions}"


if __name__ == "__main__":
    import logging

    from embedlib.store import Store

    logging.basicConfig(level=logging.INFO)
    for name, ref in real_vectors(Store(WORKSPACE)).items():
        print(name, ref.path, ref.manifest.seconds, "s")

"""A small collection with train and dev judgements, as artifacts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from embedlib.artifact import ArtifactRef
from embedlib.contracts import CORPUS, EXAMPLES, QRELS, QUERIES, content_hash, write_table
from embedlib.store import Recipe, Store

TOPICS = ("apple", "bridge", "cloud", "desert", "engine", "forest", "guitar", "harbor", "island", "jacket")
FILLER = ["small", "round", "early", "narrow", "quiet", "heavy", "distant", "bright", "common", "simple"]


def documents(count: int) -> list[dict]:
    rng = np.random.default_rng(0)
    rows = []
    for i in range(count):
        topic = TOPICS[i % len(TOPICS)]
        words = [*rng.choice(FILLER, 5), topic, f"number{i}"]
        text = " ".join(words)
        rows.append(
            {
                "doc_id": f"d{i:04d}",
                "title": "",
                "text": text,
                "source": "test",
                "group_id": f"d{i:04d}",
                "content_hash": content_hash("", text),
                "metadata": "{}",
            }
        )
    return rows


def write_collection(folder: Path, *, size: int = 120, pairs: int = 96, dev: int = 16) -> dict[str, Path]:
    """Folders corpus, queries and examples; query i asks for document i."""
    folders = {name: folder / name for name in ("corpus", "queries", "examples")}
    for path in folders.values():
        path.mkdir(parents=True)
    docs = documents(size)
    write_table(folders["corpus"] / "corpus.parquet", docs, CORPUS)
    queries, qrels, examples = [], [], []
    for i in range(pairs + dev):
        split = "train" if i < pairs else "dev"
        query_id, doc_id = f"q{i:04d}", docs[i % size]["doc_id"]
        text = f"where is {TOPICS[i % len(TOPICS)]} number{i % size}"
        queries.append({"query_id": query_id, "text": text, "split": split, "origin": "human", "label": None})
        qrels.append({"query_id": query_id, "doc_id": doc_id, "relevance": 1, "split": split})
        if split == "train":
            negatives = [docs[(i + 10 * k) % size]["doc_id"] for k in (1, 2)]
            examples.append(
                {
                    "query_id": query_id,
                    "query": text,
                    "positive_id": doc_id,
                    "origin": "label",
                    "negative_ids": negatives,
                    "origins": ["bm25"] * 2,
                    "scores": [0.5, 0.4],
                    "teacher_positive": 2.0,
                    "teacher_scores": [1.0, 0.5],
                }
            )
    write_table(folders["queries"] / "queries.parquet", queries, QUERIES)
    write_table(folders["queries"] / "qrels.parquet", qrels, QRELS)
    write_table(folders["examples"] / "examples.parquet", examples, EXAMPLES)
    return folders


def as_artifact(store: Store, kind: str, folder: Path) -> ArtifactRef:
    """A folder's files as an artifact."""
    import shutil

    def make(work):
        shutil.copytree(folder, work.out, dirs_exist_ok=True)
        return {}

    return store.build(Recipe(kind, kind, "test", {"from": str(folder)}), make).ref


@pytest.fixture(scope="session")
def collection(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of a corpus, its queries and its examples."""
    return write_collection(tmp_path_factory.mktemp("collection"))


@pytest.fixture
def refs(store: Store, collection: dict[str, Path], tiny_model: Path) -> dict[str, ArtifactRef]:
    """The collection and the tiny model as artifacts."""
    found = {name: as_artifact(store, name, path) for name, path in collection.items()}
    return {**found, "model": as_artifact(store, "model", tiny_model)}


@pytest.fixture
def make_artifact(store: Store):
    """``make_artifact(kind, folder)``."""
    return lambda kind, folder: as_artifact(store, kind, folder)


@pytest.fixture(scope="session")
def docs() -> list[dict]:
    """The collection's corpus rows."""
    return documents(120)


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny matrices on several threads only wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)

"""A live release of sixty small documents behind a toy encoder; each test spoils what it is about."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from toys import ToyEncoder

from embedlib.contracts import CORPUS, QRELS, QUERIES, content_hash, write_table
from embedlib.monitoring.canaries import FoundDocument

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def word(n: int) -> str:
    """A word of its own letters for each number."""
    rng = np.random.default_rng(n)
    return "".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), size=9))


def write_corpus(folder: Path, texts: dict[str, str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "doc_id": i, "title": "", "text": t, "source": "s", "group_id": i,
            "content_hash": content_hash("", t), "metadata": "{}",
        }
        for i, t in sorted(texts.items())
    ]  # fmt: skip
    write_table(folder / "corpus.parquet", rows, CORPUS)
    return folder


def write_queries(folder: Path, texts: dict[str, str]) -> Path:
    """Each document's text is a query for it: the first half dev, the rest train."""
    folder.mkdir(parents=True, exist_ok=True)
    queries, qrels = [], []
    for n, (doc_id, text) in enumerate(sorted(texts.items())):
        split, query_id = ("dev" if n < len(texts) // 2 else "train"), f"q-{doc_id}"
        queries.append({"query_id": query_id, "text": text, "split": split, "origin": "human", "label": None})
        qrels.append({"query_id": query_id, "doc_id": doc_id, "relevance": 1, "split": split})
    write_table(folder / "queries.parquet", queries, QUERIES)
    write_table(folder / "qrels.parquet", qrels, QRELS)
    return folder


@dataclass
class ToyLive:
    """A release of toy vectors, searched exactly."""

    corpus: Path
    queries: Path | None
    texts: dict[str, str]
    number: int = 1
    published_at: datetime = T0
    model_digest: str = "m1"
    search_mode: str = "dense"
    test_score: float | None = 1.0
    harm: str = ""
    broken: bool = False
    encoder: ToyEncoder = field(default_factory=ToyEncoder)

    def search(self, queries, k):
        ids = sorted(self.texts)
        scores = self.encoder.encode(queries) @ self.encoder.encode([self.texts[i] for i in ids]).T
        if self.broken:
            scores = -scores
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return [
            [FoundDocument(ids[j], ids[j], float(row[j])) for j in best]
            for row, best in zip(scores, order, strict=True)
        ]

    def encode_queries(self, texts):
        return self.encoder.encode_queries(texts)

    def damage(self):
        return self.harm


@pytest.fixture
def live(tmp_path: Path) -> ToyLive:
    texts = {f"d{n:02d}": f"{word(n)} {word(n + 1000)}" for n in range(60)}
    return ToyLive(
        write_corpus(tmp_path / "corpus", texts), write_queries(tmp_path / "queries", texts), texts
    )

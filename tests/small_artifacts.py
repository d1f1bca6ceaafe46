"""A small corpus with titles, sentences, duplicates and judgements, as artifacts of a store."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from embedlib.artifact import ArtifactRef
from embedlib.contracts import CORPUS, PAIRS, QRELS, QUERIES, Corpus, content_hash, write_table
from embedlib.models.local import load_encoder
from embedlib.store import Recipe, Store
from embedlib.vectors import Vectors, VectorsInfo

THINGS = ["otter", "falcon", "cedar", "granite", "violin", "kettle", "comet", "harbour", "saffron", "glacier"]
DEEDS = [
    "swims quickly through rivers",
    "hunts above the plain",
    "grows slowly on hills",
    "breaks under load",
]

#: doc_id, title, text
DOCUMENTS = [
    (
        f"d{i:03d}",
        f"The {a} that {deed.split()[0]}",
        f"Every {a} number {i} {deed} in spring. Nobody knows why the {a} {deed.split()[-1]} matter. "
        f"Observers counted {i + 7} of them near the old mill last year.",
    )
    for i, (a, deed) in enumerate((a, deed) for a in THINGS for deed in DEEDS)
]


def corpus(store: Store, documents: Sequence[tuple[str, str, str]] = DOCUMENTS, **more: Any) -> ArtifactRef:
    """Documents as a corpus artifact; ``more`` replaces columns by lists."""

    def rows() -> Any:
        for at, (doc_id, title, text) in enumerate(documents):
            row = {
                "doc_id": doc_id,
                "title": title,
                "text": text,
                "source": "test",
                "group_id": doc_id,
                "content_hash": content_hash(title, text),
                "metadata": "{}",
            }
            yield row | {name: values[at] for name, values in more.items()}

    return _build(store, "corpus", lambda out: write_table(out / "corpus.parquet", rows(), CORPUS))


def queries(
    store: Store,
    texts: Mapping[str, Mapping[str, str]],
    qrels: Mapping[str, Mapping[str, Mapping[str, int]]] | None = None,
    held_out: Sequence[str] = (),
) -> ArtifactRef:
    """Queries and judgements by split: {split: {query_id: text}}, {split: {query_id: {doc_id: grade}}}."""

    def write(out: Path) -> None:
        rows = [
            {"query_id": q, "text": t, "split": split, "origin": "human", "label": None}
            for split, by_id in texts.items()
            for q, t in by_id.items()
        ]
        judged = [
            {"query_id": q, "doc_id": d, "relevance": grade, "split": split}
            for split, by_query in (qrels or {}).items()
            for q, by_doc in by_query.items()
            for d, grade in by_doc.items()
        ]
        write_table(out / "queries.parquet", rows, QUERIES)
        write_table(out / "qrels.parquet", judged, QRELS)
        held = pa.schema([("doc_id", pa.string())])
        write_table(out / "held_out.parquet", ({"doc_id": d} for d in held_out), held)

    return _build(store, "queries", write)


def pairs(store: Store, rows: Sequence[tuple[str, str, str, str]]) -> ArtifactRef:
    """(query_id, query, doc_id, origin) as a pairs artifact."""
    names = ("query_id", "query", "doc_id", "origin")
    table = [dict(zip(names, row, strict=True), score=1.0) for row in rows]
    return _build(store, "pairs", lambda out: write_table(out / "pairs.parquet", table, PAIRS))


def model(store: Store, folder: Path) -> ArtifactRef:
    """A model folder as a model artifact."""
    return _build(store, "model", lambda out: shutil.copytree(folder, out, dirs_exist_ok=True))


def vectors(store: Store, documents: ArtifactRef, encoder: ArtifactRef) -> ArtifactRef:
    """The corpus encoded by the model, as a vectors artifact of two shards."""

    def write(out: Path) -> None:
        source = Corpus(documents.path)
        encoded = load_encoder(encoder.path).encode_documents(list(source.texts()))
        (out / "shards").mkdir()
        parts = np.array_split(encoded, 2)
        for i, part in enumerate(parts):
            np.save(out / "shards" / f"{i}.npy", part)
        VectorsInfo(
            dimension=int(encoded.shape[1]),
            dtype="float32",
            count=len(encoded),
            normalized=True,
            model_digest=encoder.digest,
            encoding={},
            corpus_digest=documents.digest,
            shards=[f"shards/{i}.npy" for i in range(len(parts))],
            rows=[len(part) for part in parts],
        ).write(out)

    return _build(store, "vectors", write)


_count = iter(range(10**9))


def _build(store: Store, kind: str, write: Any) -> ArtifactRef:
    def make(work: Any) -> dict[str, Any]:
        write(work.out)
        return {}

    return store.build(Recipe(f"test-{kind}", kind, str(next(_count))), make).ref


def load(model: ArtifactRef) -> Any:
    """The encoder of a model artifact."""
    return load_encoder(model.path)


def load_vectors(vectors: ArtifactRef) -> np.ndarray:
    """All vectors of an artifact, float32 [n, d]."""
    return Vectors(vectors.path).load()

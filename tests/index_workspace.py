"""A workspace with real corpus, vectors and index artifacts behind a toy encoder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from toys import ToyEncoder

from embedlib.artifact import ArtifactRef
from embedlib.config.index import Index
from embedlib.contracts import CORPUS, QRELS, QUERIES, Corpus, content_hash, write_table
from embedlib.evaluation.records import Decision
from embedlib.index.release import Terms, publish
from embedlib.index.verify import Checks
from embedlib.retrieval.plan import TwoStagePlan
from embedlib.stages import index as index_stage
from embedlib.stages.base import run_stage
from embedlib.store import Recipe, Store
from embedlib.vectors import VectorsInfo

UNDECIDED = {
    "verdict": "keep",
    "headline": "",
    "reasons": [],
    "advice": [],
    "decided_on": None,
    "numbers": {},
}


class ShiftedEncoder(ToyEncoder):
    """Another model: every letter is counted as the one ``shift`` places on."""

    def __init__(self, shift: int = 0) -> None:
        super().__init__()
        self.shift = shift

    def encode(self, texts, *, prompt="", progress=None):
        moved = [
            "".join(chr((ord(c) - 97 + self.shift) % 26 + 97) if "a" <= c <= "z" else c for c in t.lower())
            for t in texts
        ]
        return super().encode(moved, prompt=prompt)


def load(folder: Path, dtype: str = "fp32") -> ShiftedEncoder:
    """The toy model of a folder, as ``load_encoder`` loads real ones; its arithmetic is always fp32."""
    return ShiftedEncoder(json.loads((folder / "shift.json").read_text()))


def words(n: int, seed: int = 0, length: int = 6) -> dict[str, str]:
    """n documents of random words: doc0000, doc0001, …"""
    rng = np.random.default_rng(seed)
    letters = list("abcdefghijklmnopqrstuvwxyz")
    text = lambda: " ".join("".join(rng.choice(letters, size=5)) for _ in range(length))  # noqa: E731
    return {f"doc{i:04d}": text() for i in range(n)}


class Workspace:
    """Builds the artifacts that a release is made of."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root)
        self.root = self.store.root

    def corpus(
        self,
        texts: Mapping[str, str],
        metadata: Mapping[str, dict[str, object]] | None = None,
        groups: Mapping[str, str] | None = None,
    ) -> ArtifactRef:
        def make(work):
            rows = (
                {
                    "doc_id": i,
                    "title": "",
                    "text": text,
                    "source": "test",
                    "group_id": (groups or {}).get(i, i),
                    "content_hash": content_hash("", text),
                    "metadata": json.dumps((metadata or {}).get(i, {})),
                }
                for i, text in sorted(texts.items())
            )
            return {"rows": write_table(work.out / "corpus.parquet", rows, CORPUS)}

        options = {"texts": dict(texts), "metadata": dict(metadata or {}), "groups": dict(groups or {})}
        return self.store.build(Recipe("ingest", "corpus", "test", options), make).ref

    def queries(self, texts: Mapping[str, str], split: str = "dev") -> ArtifactRef:
        def make(work):
            rows = [
                {"query_id": i, "text": t, "split": split, "origin": "human", "label": None}
                for i, t in sorted(texts.items())
            ]
            write_table(work.out / "qrels.parquet", [], QRELS)
            return {"rows": write_table(work.out / "queries.parquet", rows, QUERIES)}

        return self.store.build(Recipe("split", "queries", "test", {"t": dict(texts), "s": split}), make).ref

    def model(self, shift: int = 0) -> ArtifactRef:
        def make(work):
            (work.out / "shift.json").write_text(str(shift))
            return {}

        return self.store.build(Recipe("base", "model", "test", {"shift": shift}), make).ref

    def vectors(self, corpus: ArtifactRef, model: ArtifactRef, change=None, tag: str = "") -> ArtifactRef:
        """Vectors as ``encode`` writes them; ``change(array)`` spoils them for a test."""

        def make(work):
            documents = Corpus(corpus.path)
            array = load(model.path).encode_documents(list(documents.texts()))
            array = array if change is None else change(array)
            half = (len(array) + 1) // 2
            (work.out / "shards").mkdir()
            names = []
            for start in range(0, len(array), half):
                names.append(f"shards/{len(names):05d}.npy")
                np.save(work.out / names[-1], array[start : start + half].astype(np.float32))
            VectorsInfo(
                dimension=array.shape[1], dtype="float32", count=len(array), normalized=True,
                model_digest=model.digest, encoding={}, corpus_digest=corpus.digest, shards=names,
                rows=[min(half, len(array) - start) for start in range(0, len(array), half)],
            ).write(work.out)  # fmt: skip
            rows = [{"doc_id": d.doc_id, "content_hash": d.content_hash} for d in documents.documents()]
            schema = CORPUS.empty_table().select(["doc_id", "content_hash"]).schema
            write_table(work.out / "ids.parquet", rows, schema)
            return {}

        recipe = Recipe("encode", "vectors", "test" + tag, {}, {"corpus": corpus, "model": model})
        return self.store.build(recipe, make).ref

    def index(self, corpus, model, vectors, queries=None, **options) -> ArtifactRef:
        """The real index stage (the toy model has to be patched into it: fixture ``toy_models``)."""
        given = {"corpus": corpus, "model": model, "vectors": vectors, "queries": queries}
        return run_stage(self.store, index_stage.STAGE, Index(**options), **given).ref

    def parts(self, texts: Mapping[str, str], shift: int = 0, **options) -> dict[str, ArtifactRef]:
        corpus, model = self.corpus(texts), self.model(shift)
        vectors = self.vectors(corpus, model)
        index = self.index(corpus, model, vectors, **options)
        return {"corpus": corpus, "model": model, "vectors": vectors, "index": index}

    def encoder(self, shift: int = 0) -> ShiftedEncoder:
        """The model that ``parts`` encode with."""
        return ShiftedEncoder(shift)

    def decision(self, record: Mapping[str, object]) -> ArtifactRef:
        def make(work):
            Decision.model_validate(UNDECIDED | dict(record)).write(work.out)
            return {}

        return self.store.build(Recipe("decide", "decision", "test", dict(record)), make).ref

    def reranked_parts(
        self, texts: Mapping[str, str], plan: TwoStagePlan, model: str | None = None
    ) -> dict[str, ArtifactRef]:
        """``parts`` with a reranker of no weights, and the decision to serve it with the model or another."""

        def make(work):
            (work.out / "weights").write_text("5")
            return {}

        parts = self.parts(texts)
        reranker = self.store.build(Recipe("reranker", "reranker", "test", {}), make).ref
        tried = {"model": model or parts["model"].digest, "reranker": reranker.digest}
        said = {"verdict": "promote", "headline": "", "reasons": [], "advice": [], "decided_on": None}
        record = {**said, "numbers": {}, "rerank": plan.model_dump(), "models": tried}
        return {**parts, "reranker": reranker, "reranking": self.decision(record)}

    def publish(self, parts: Mapping[str, ArtifactRef], **terms):
        checks = terms.pop("checks", Checks(self_checks=5, encoder=load(parts["model"].path)))
        return publish(self.root, **parts, terms=Terms(checks=checks, **terms))

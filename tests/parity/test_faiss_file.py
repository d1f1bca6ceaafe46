"""The published index file, searched by plain FAISS, gives what ``Searcher`` gives.

Oracle: ``faiss.read_index(index.faiss).search`` with the settings of ``index.json`` applied by
FAISS's own ``ParameterSpace``; ids are corpus rows. Mapping: our (rows, scores) are its (I, D)
for inner product, without rescoring. Negative control: another search parameter gives other rows.
"""

from __future__ import annotations

import faiss
import index_workspace
import numpy as np
import pytest
from index_workspace import Workspace, words
from records import json_of

from embedlib.contracts import Corpus
from embedlib.index.search import Searcher


class WordEncoder:
    """Sums a random vector for each word: no two documents score the same."""

    name, dimension, max_length = "words", 24, None

    def encode_queries(self, texts, *, progress=None):
        out = np.array([sum(self.word(w) for w in t.split()) for t in texts], dtype=np.float32)
        return out / np.linalg.norm(out, axis=1, keepdims=True)

    encode_documents = encode_queries

    def word(self, text):
        return np.random.default_rng(list(text.encode())).standard_normal(self.dimension)


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Workspace:
    for place in ("embedlib.stages.index.load_encoder", "embedlib.models.local.load_encoder"):
        monkeypatch.setattr(place, lambda folder, **options: WordEncoder())
    monkeypatch.setattr(index_workspace, "load", lambda folder, **options: WordEncoder())
    return Workspace(tmp_path / "ws")


@pytest.mark.parametrize(
    ("factory", "parameter", "weak"),
    [("Flat", None, None), ("HNSW8", "efSearch", 1), ("IVF8,Flat", "nprobe", 1)],
)
def test_plain_faiss_gives_the_same_hits(workspace, factory, parameter, weak):
    parts = workspace.parts(words(400), factory=factory, recall_target=0.9)
    workspace.publish(parts)
    texts = [" ".join(t.split()[:2]) for t in list(words(40, seed=3).values())]
    found = Searcher(workspace.root).search(texts, k=10)

    index = faiss.read_index(str(parts["index"].file("index.faiss")))
    settings = json_of(parts["index"], "index.json")["settings"]
    assert settings["parameter"] == parameter
    if parameter:
        faiss.ParameterSpace().set_index_parameter(index, parameter, settings["value"])
    queries = WordEncoder().encode_queries(texts)
    ids = Corpus(parts["corpus"].path).ids
    scores, rows = index.search(queries, 11)  # Searcher asks for one more than k, to see a tie at the cut
    assert [[h.doc_id for h in hits] for hits in found] == [[ids[r] for r in line[:10]] for line in rows]
    np.testing.assert_allclose([[h.score for h in hits] for hits in found], scores[:, :10], atol=1e-6)

    if parameter:
        faiss.ParameterSpace().set_index_parameter(index, parameter, weak)
        assert (index.search(queries, 11)[1] != rows).any()

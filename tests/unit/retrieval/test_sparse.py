"""The third ranking: a tiny sparse encoder encodes, is fused by hand-computable scores, and is served."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from published import (
    publish_base,
    refresh_release,
    save_bag_model,
    save_sparse_model,
    small_config,
    write_beir,
)

from embedlib.config.models import Sparse
from embedlib.contracts import Corpus
from embedlib.errors import (
    CorruptArtifact,
    DataError,
    MismatchError,
    ModelError,
    UserError,
    VerificationError,
)
from embedlib.evaluation.judged import read_judged
from embedlib.evaluation.model_on_set import DenseSystem, ModelOnSet, own_rows_of
from embedlib.evaluation.significance import Interval
from embedlib.index.costs import Machine, ServedModel
from embedlib.index.release_parts import live_parts
from embedlib.index.search import Searcher
from embedlib.models.local import load_encoder
from embedlib.models.sparse import load_sparse_encoder
from embedlib.retrieval import sparse as module
from embedlib.retrieval.bm25 import build_bm25
from embedlib.retrieval.fusion import Rankers
from embedlib.retrieval.hits import Hits, top_rows
from embedlib.retrieval.lexical import lexical_scores
from embedlib.retrieval.moments import Moments, vector_moments
from embedlib.retrieval.plan import SearchPlan
from embedlib.retrieval.sparse import MATRIX_FILE, SPARSE_DIR, SparseIndex
from embedlib.stages.base import run_stage
from embedlib.stages.sparse import STAGE as SPARSE
from embedlib.store import Store
from embedlib.vectors import Vectors

PLAN = SearchPlan(mode="hybrid", weight=0.3, sparse_weight=0.7)
PLANS = {"three": PLAN, "two": PLAN.without_sparse()}
TEXTS = ["river stone window", "garden engine", "stone market garden", "letter bridge", "winter river candle"]


@pytest.fixture(scope="module")
def static(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_sparse_model(tmp_path_factory.mktemp("sparse"))


@pytest.fixture(params=["static", "splade"])
def encoder(request, static: Path, tmp_path: Path):  # type: ignore[no-untyped-def]
    return load_sparse_encoder(
        str(static if request.param == "static" else save_sparse_model(tmp_path, "splade"))
    )


def index_of(encoder) -> SparseIndex:  # type: ignore[no-untyped-def]
    return SparseIndex(encoder.encode_documents(TEXTS), encoder)


def test_scores_are_inner_products_and_do_not_depend_on_the_batch(encoder) -> None:
    index = index_of(encoder)
    queries = ["river stone", "garden", "anchor"]
    one_by_one = [next(index.scores_of([query])) for query in queries]
    expected = encoder.encode_queries(queries).toarray() @ index.matrix.toarray().T
    assert np.allclose(list(index.scores_of(queries)), expected, atol=1e-5)
    assert np.allclose(one_by_one, expected, atol=1e-5)
    assert len(index) == 5


def test_other_texts_in_some_rows_are_those_of_an_index_made_of_them(encoder) -> None:
    changed = {1: "winter window", 3: "market"}
    expected = encoder.encode_documents([changed.get(row, text) for row, text in enumerate(TEXTS)])
    assert np.allclose(index_of(encoder).with_texts(changed).matrix.toarray(), expected.toarray(), atol=1e-5)
    assert index_of(encoder).with_texts({}).matrix.nnz == index_of(encoder).matrix.nnz


def test_what_is_saved_is_read_with_its_model_and_no_other(static: Path, tmp_path: Path) -> None:
    folder, copy = tmp_path / "saved", tmp_path / "model"
    shutil.copytree(static, copy)
    module._encoder.cache_clear()
    made = index_of(load_sparse_encoder(str(copy)))
    made.save(folder)
    assert (SparseIndex.load(folder).matrix != made.matrix).nnz == 0
    (folder / MATRIX_FILE).write_bytes(b"PK no archive")
    with pytest.raises(CorruptArtifact, match="cannot be read"):
        SparseIndex.load(folder)
    made.save(folder)
    module._encoder.cache_clear()
    config = json.loads((copy / "config_sentence_transformers.json").read_text())
    (copy / "config_sentence_transformers.json").write_text(json.dumps(config | {"changed": 1}))
    with pytest.raises(MismatchError, match="not the one that made the index"):
        SparseIndex.load(folder)


def test_a_dense_model_is_no_sparse_encoder(tiny_model: Path, minilm: Path) -> None:
    for folder in (tiny_model, minilm):
        with pytest.raises(ModelError, match="no sparse encoder"):
            load_sparse_encoder(str(folder))


def test_three_rankings_are_the_weighted_sum_of_z_scores_over_the_corpus(static: Path) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((5, 4)).astype(np.float32)
    queries, texts = rng.standard_normal((2, 4)).astype(np.float32), ["river stone", "garden letter"]
    bm25, third = build_bm25(TEXTS), index_of(load_sparse_encoder(str(static)))

    def nearest(q, k: int) -> Hits:  # type: ignore[no-untyped-def]
        best = [top_rows(row, k) for row in q @ vectors.T]
        return Hits(np.array([r for r, _ in best]), np.array([s for _, s in best]))

    rankers = Rankers(
        dense=lambda q, k: nearest(q, 1),  # the others have to bring the rest
        lexical=lambda t, k, rows: lexical_scores(bm25, t, k, rows),
        vectors_of=vectors.__getitem__,
        moments=vector_moments([(0, vectors)]),
        sparse=lambda t, k, rows: lexical_scores(third, t, k, rows),
    )
    scores = [queries @ vectors.T, *(np.array([*leg.scores_of(texts)]) for leg in (bm25, third))]
    expected = sum(w * Moments.of(s).standardise(s) for w, s in zip((1, 0.3, 0.7), scores, strict=True))
    hits = rankers.search(texts, queries, 5, PLAN)
    for query in range(2):
        found = hits.rows[query][hits.rows[query] >= 0]
        assert set(found) >= set(np.flatnonzero(scores[2][query]))
        assert hits.scores[query][: len(found)] == pytest.approx(expected[query][found], abs=1e-4)
    without = Rankers(**{**rankers.__dict__, "sparse": None})
    assert (without.search(texts, queries, 5, PLAN.without_sparse()).rows >= -1).all()
    with pytest.raises(DataError, match="there is none"):
        without.search(texts, queries, 5, PLAN)


def test_search_and_evaluation_give_the_same_score_and_a_refresh_encodes_what_is_new(
    tmp_path: Path, static: Path, tiny_model: Path
) -> None:
    data = write_beir(tmp_path / "data", documents=40)
    model = save_bag_model(tmp_path / "bag", tiny_model)
    config = small_config(
        tmp_path / "ws", data, model, sparse={"model": str(static)}, evaluate={"guards": []}
    )
    publish_base(config)
    store = Store(config.workspace)
    parts = live_parts(store)
    assert parts is not None
    corpus = Corpus(parts["corpus"].path)
    judged = read_judged(corpus, parts["queries"].path, "test")["human"]
    dense = DenseSystem("base", load_encoder(parts["model"].path), Vectors(parts["vectors"].path))
    third = SparseIndex.load(parts["index"].file(SPARSE_DIR))
    on_set = ModelOnSet(judged, dense, build_bm25(corpus.texts()), own_rows_of(corpus, judged), third)
    evaluated = on_set.answers(on_set.gather(10, with_sparse=True), 10, PLAN)
    found = Searcher(config.workspace).search(judged.query_texts, k=10, mode=PLAN)
    for query, hits in enumerate(found):
        assert [corpus.row_of[hit.doc_id] for hit in hits] == evaluated.rows[query].tolist()
        assert [hit.score for hit in hits] == pytest.approx(evaluated.scores[query].tolist(), abs=1e-4)

    served = {name: ServedModel(parts["model"].path, dense.vectors, plan) for name, plan in PLANS.items()}
    figures = {f"hybrid:{name}": Interval(0.5, 0.4, 0.6, 9) for name in PLANS}
    machine = Machine(corpus, served, {}, tmp_path, third)
    three, two = machine.measure(figures, judged.query_texts)
    assert three.memory_mb > two.memory_mb

    lines = (data / "corpus.jsonl").read_text().splitlines()
    more = json.dumps({"_id": "a-new-one", "title": "", "text": "violin wagon zipper"})
    (data / "corpus.jsonl").write_text("\n".join([*lines[1:], more]) + "\n")
    refresh_release(config)
    parts = live_parts(store)
    assert parts is not None
    assert parts["index"].parents["sparse"].manifest.summary["encoded"] == 1
    searcher = Searcher(config.workspace)
    assert searcher.search("violin wagon zipper", k=1, mode=PLAN)[0].doc_id == "a-new-one"
    assert store.get("sparse", parts["index"].parents["sparse"].fingerprint).exists


def test_an_index_without_sparse_vectors_says_so_and_a_short_one_is_not_published(
    tmp_path: Path, static: Path, tiny_model: Path
) -> None:
    data = write_beir(tmp_path / "data", documents=40)
    publish_base(small_config(tmp_path / "plain", data, tiny_model, evaluate={"guards": []}))
    with pytest.raises(UserError, match="no sparse vectors"):
        Searcher(tmp_path / "plain").search("river", mode=PLAN)
    store = Store(tmp_path / "plain")
    parts = live_parts(store)
    assert parts is not None
    index_of(load_sparse_encoder(str(static))).save(parts["index"].file(SPARSE_DIR))
    from embedlib.index.verify import Checks, verify_index

    with pytest.raises(VerificationError, match="'sparse vectors': 5"):
        verify_index(
            parts["index"],
            Vectors(parts["vectors"].path),
            Corpus(parts["corpus"].path),
            parts["model"],
            Checks(self_checks=0),
        )
    with pytest.raises(UserError, match=r"sparse\.model"):
        run_stage(store, SPARSE, Sparse(), corpus=parts["corpus"])

"""Choosing, building and tuning FAISS indexes."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from index_workspace import Workspace, words

from embedlib.contracts import write_table
from embedlib.errors import DataError, DiskFull, MismatchError, UserError
from embedlib.index.artifact import save_faiss
from embedlib.index.build import build_index, checked_blocks, create_index
from embedlib.index.choose import Demands, candidates, code_bytes, list_count, training_need
from embedlib.index.dense import DenseIndex
from embedlib.index.info import IndexInfo, SearchSettings
from embedlib.index.select import select_index
from embedlib.index.tune import RESCORE_LADDER, is_lossy, recall_at_k, tune
from embedlib.models.encoder import truncate
from embedlib.retrieval.dense import block_of, exact_search
from embedlib.vectors import Vectors, VectorsInfo


def unit(n, d, seed=0, clusters=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d)).astype(np.float32)
    if clusters:
        centres = rng.standard_normal((clusters, d)).astype(np.float32) * 2
        x = x + centres[rng.integers(clusters, size=n)]
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.fixture
def stored(tmp_path):
    """Writes an array as a vectors artifact, in shards of 700."""

    def write(array, normalized=True):
        array = np.asarray(array, dtype=np.float32)
        names = []
        for start in range(0, len(array), 700):
            names.append(f"{start:05d}.npy")
            np.save(tmp_path / names[-1], array[start : start + 700])
        VectorsInfo(
            dimension=array.shape[1], dtype="float32", count=len(array), normalized=normalized,
            model_digest="m", encoding={}, corpus_digest="c", shards=names,
            rows=[len(array[start : start + 700]) for start in range(0, len(array), 700)],
        ).write(tmp_path)  # fmt: skip
        rows = [{"doc_id": f"d{i:05d}"} for i in range(len(array))]
        write_table(tmp_path / "ids.parquet", rows, pa.schema([("doc_id", pa.string())]))
        return Vectors(tmp_path)

    return write


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def open_dense(vectors, factory, settings, rng, dimension=None):
    index = build_index(factory, vectors, dimension or vectors.dimension, rng=rng)
    return DenseIndex(index, vectors, settings)


@pytest.mark.parametrize(
    "factory",
    [
        "Flat",
        "HNSW16",
        "IVF8,Flat",
        "IVF8,SQ8",
        pytest.param("OPQ8_32,IVF8,PQ8", marks=pytest.mark.slow),
        "PQ8x4",
        "SQ8",
    ],
)
def test_a_factory_string_is_taken_as_it_is_and_all_vectors_are_added(factory, rng, stored):
    vectors = stored(unit(2000, 32))
    index = build_index(factory, vectors, 32, rng=rng)
    assert index.ntotal == 2000
    assert index.metric_type == 0


def test_flat_agrees_with_exact_search_in_rows_and_scores(rng, stored):
    vectors, queries = stored(unit(1500, 16)), unit(20, 16, seed=9)
    dense = open_dense(vectors, "Flat", SearchSettings(), rng)
    truth = exact_search(queries, block_of(vectors.load()), 10)
    found = dense.search(queries, 10)
    np.testing.assert_array_equal(found.rows, truth.rows)
    np.testing.assert_allclose(found.scores, truth.scores, atol=1e-6)


def test_ties_at_the_cut_go_to_the_lower_row(rng, stored):
    array = np.repeat(unit(3, 8), 40, axis=0)  # forty copies each
    dense = open_dense(stored(array), "Flat", SearchSettings(), rng)
    for k in (1, 5, 17):
        found = dense.search(array[:1], k)
        assert found.rows[0].tolist() == list(range(k))


@pytest.mark.parametrize("k", [1, 7])
def test_top_k_is_a_prefix_of_top_k_plus_one(rng, k, stored):
    vectors, queries = stored(unit(800, 16)), unit(10, 16, seed=3)
    dense = open_dense(vectors, "Flat", SearchSettings(), rng)
    np.testing.assert_array_equal(dense.search(queries, k).rows, dense.search(queries, k + 1).rows[:, :k])


def test_k_beyond_the_corpus_gives_every_document(rng, stored):
    vectors = stored(unit(300, 16))
    settings = SearchSettings(parameter="nprobe", value=1)
    found = open_dense(vectors, "IVF4,Flat", settings, rng).search(unit(2, 16, seed=5), 10_000)
    assert [sorted(rows) for rows in found.rows.tolist()] == [list(range(300))] * 2


def test_rescoring_returns_true_inner_products(rng, stored):
    vectors, queries = stored(unit(1000, 32)), unit(5, 32, seed=2)
    found = open_dense(vectors, "LSH", SearchSettings(rescore=64), rng).search(queries, 10)
    expected = np.einsum("qd,qkd->qk", queries, vectors.load()[found.rows])
    np.testing.assert_allclose(found.scores, expected, atol=1e-6)
    assert (np.diff(found.scores, axis=1) <= 0).all()


def test_a_truncated_index_is_rescored_with_full_vectors(rng, stored):
    vectors, queries = stored(unit(1000, 32)), unit(30, 32, seed=2)
    truth = exact_search(queries, block_of(vectors.load()), 10).rows
    plain = open_dense(vectors, "Flat", SearchSettings(), rng, dimension=16)
    rescored = open_dense(vectors, "Flat", SearchSettings(rescore=32), rng, dimension=16)
    assert plain.index.d == rescored.index.d == 16
    assert recall_at_k(plain.search(queries, 10).rows, truth) < 0.9
    assert recall_at_k(rescored.search(queries, 10).rows, truth) > 0.97


def test_truncate_keeps_leading_components_at_unit_norm():
    cut = truncate(np.array([[3.0, 4.0, 12.0]], dtype=np.float32) / 13, 2, normalized=True)
    np.testing.assert_allclose(cut, [[0.6, 0.8]], atol=1e-6)


def test_recall_counts_found_true_rows():
    assert recall_at_k(np.array([[1, 2], [5, 6]]), np.array([[2, 1], [6, 7]])) == 0.75
    assert recall_at_k(np.array([[1, -1]]), np.array([[1, -1]])) == 1.0


@pytest.mark.parametrize("factory", ["HNSW16", "HNSW16_SQ8", "IVF16,Flat", "IVF16,PQ8x4", "LSH"])
def test_tuning_reaches_the_target_with_the_least_effort(factory, rng, stored):
    d = 256 if factory == "LSH" else 64
    vectors = stored(unit(3000, d, clusters=30))
    queries = truncate(vectors.load()[::50] + 0.3 * unit(60, d, seed=7), d, normalized=True)
    truth = exact_search(queries, block_of(vectors.load()), 10).rows
    index = build_index(factory, vectors, d, rng=rng)
    tuned = tune(index, vectors, queries, truth, target=0.95)
    assert tuned.recall >= 0.95
    again = DenseIndex(index, vectors, tuned.settings).search(queries, 10)
    assert recall_at_k(again.rows, truth) == pytest.approx(tuned.recall)
    chosen = next(p for p in tuned.curve if p.settings == tuned.settings)
    if is_lossy(index, vectors):
        lesser = [p for p in tuned.curve[:-1] if p.settings.rescore < chosen.settings.rescore]
    else:
        lesser = [p for p in tuned.curve if (p.settings.value or 0) < (chosen.settings.value or 0)]
    assert all(p.recall < 0.95 for p in lesser)


def test_lists_too_short_for_k_do_not_look_perfect_to_tuning(rng, stored):
    """With one of many tiny lists searched, most of the ten nearest are missed and must count as missed."""
    vectors, queries = stored(unit(2000, 32)), unit(40, 32, seed=7)
    truth = exact_search(queries, block_of(vectors.load()), 10).rows
    index = build_index("IVF256,Flat", vectors, 32, rng=rng)
    tuned = tune(index, vectors, queries, truth, target=0.9)
    assert tuned.curve[0].settings.value == 1
    assert tuned.curve[0].recall < 0.5
    assert (tuned.settings.value or 0) > 4
    weak = DenseIndex(index, vectors, SearchSettings(parameter="nprobe", value=1))
    found = weak.search(queries, 200).rows  # no list holds 200: those queries are answered exactly
    np.testing.assert_array_equal(found, exact_search(queries, block_of(vectors.load()), 200).rows)


def test_a_target_out_of_reach_gives_the_best_setting(rng, stored):
    vectors, queries = stored(unit(2000, 32)), unit(40, 32, seed=7)
    truth = exact_search(queries, block_of(vectors.load()), 10).rows
    index = build_index("LSH", vectors, 32, rng=rng)
    tuned = tune(index, vectors, queries, truth, target=1.0)
    assert tuned.settings.rescore >= RESCORE_LADDER[-2]
    assert tuned.recall == pytest.approx(max(p.recall for p in tuned.curve), abs=1e-4)


def test_auto_prefers_flat_then_graph_then_lists_then_codes():
    first = lambda n, **demands: candidates(n, 384, Demands(**demands))[0].factory  # noqa: E731
    assert first(64_000) == "Flat"
    assert first(400_000) == "HNSW32"
    assert first(400_000, memory_mb=400) == "HNSW32_SQ8"
    assert first(5_000_000).startswith("IVF")
    assert first(5_000_000).endswith("Flat")
    assert first(5_000_000, memory_mb=3000).endswith("SQ8")
    assert first(5_000_000, memory_mb=800).endswith(f"PQ{code_bytes(384)}")
    assert first(5_000_000, memory_mb=300) == "LSH"


def test_every_candidate_fits_the_memory_budget():
    for demand in (50, 200, 1000):
        assert all(c.memory_mb <= demand for c in candidates(400_000, 384, Demands(memory_mb=demand)))


def test_a_memory_budget_nothing_fits_is_refused_with_the_least_there_is():
    with pytest.raises(UserError, match="at least 229 MiB") as error:
        candidates(5_000_000, 384, Demands(memory_mb=100))
    assert "index.memory_mb" in str(error.value)


def test_estimated_memory_is_close_to_the_file(tmp_path, rng, stored):
    import faiss

    vectors = stored(unit(10_300, 16))
    every = candidates(10_300, 16, Demands(flat_limit=0))
    for candidate in (c for c in every if not c.factory.startswith("OPQ")):  # minutes of training
        index = build_index(candidate.factory, vectors, 16, rng=rng)
        faiss.write_index(index, str(tmp_path / "i.faiss"))
        actual = (tmp_path / "i.faiss").stat().st_size / 2**20
        assert candidate.memory_mb == pytest.approx(actual, rel=0.15, abs=0.1), candidate.factory


@pytest.mark.parametrize("dimension", [1, 7, 27, 96, 384, 768])
def test_code_bytes_divide_the_dimension(dimension):
    assert dimension % code_bytes(dimension) == 0
    assert code_bytes(dimension) <= max(dimension // 4, 1)


@pytest.mark.parametrize("count", [1, 40, 1000, 100_000, 10_000_000])
def test_lists_leave_enough_training_vectors(count):
    assert list_count(count) * 39 <= max(count, 39)


def test_training_sample_is_bounded(rng, monkeypatch, stored):
    vectors, seen = stored(unit(3000, 16)), []
    take = vectors.take
    monkeypatch.setattr(vectors, "take", lambda rows: seen.append(len(rows)) or take(rows))
    monkeypatch.setattr("embedlib.index.build.TRAINED_ON", 700)
    build_index("IVF8,Flat", vectors, 16, rng=rng)
    assert seen == [700]
    assert training_need("OPQ8,IVF1024_HNSW32,PQ8", 10**7) == 64 * 1024


def test_a_latency_demand_that_one_type_misses_moves_on_to_the_next(monkeypatch, rng, stored):
    vectors, queries = stored(unit(12_000, 16)), unit(30, 16, seed=1)
    speeds = iter([9.0, 0.5])
    monkeypatch.setattr("embedlib.index.select.latency_ms", lambda *a: next(speeds))
    demands = Demands(latency_ms=1.0)
    made = select_index(vectors, queries, demands, rng=rng)
    assert made.factory == "HNSW32"
    assert "Flat takes more than 1 ms" in made.reason


def test_when_no_type_meets_the_recall_the_best_is_kept_and_says_so(rng, stored):
    vectors, queries = stored(unit(2000, 16)), unit(30, 16, seed=1)
    made = select_index(vectors, queries, Demands(factory="LSH", recall_target=1.0), rng=rng)
    assert made.tuned.recall < 1.0
    assert "below 1" in made.reason


@pytest.mark.parametrize("factory", ["IVFx,Flat", "nonsense", "PQ7", ""])
def test_a_wrong_factory_string_is_the_users_mistake(factory, rng, stored):
    with pytest.raises(UserError, match=r"index\.factory"):
        build_index(factory, stored(unit(300, 32)), 32, rng=rng)


def test_too_few_vectors_to_train_is_a_typed_error(rng, stored):
    with pytest.raises(UserError, match="too few vectors"):
        build_index("IVF64,Flat", stored(unit(20, 8)), 8, rng=rng)


def test_more_components_than_the_vectors_have_is_refused(rng, stored):
    with pytest.raises(UserError, match=r"index\.dimension"):
        select_index(stored(unit(20, 8)), unit(2, 8), Demands(dimension=16), rng=rng)


@pytest.mark.parametrize(
    ("value", "message"), [(0.0, "norm 0"), (np.nan, "norm nan"), (np.inf, "norm inf"), (3.0, "norm")]
)
def test_an_unusable_vector_is_named(value, message, stored):
    array = unit(50, 4)
    array[33] = value
    with pytest.raises(DataError, match=f"d00033.*{message}"):
        list(checked_blocks(stored(array)))


def test_vectors_that_are_not_declared_normal_may_have_any_norm(stored):
    array = unit(50, 4) * 3
    assert len(list(checked_blocks(stored(array, normalized=False)))) == 1


def test_queries_of_another_dimension_or_not_finite_are_refused(rng, stored):
    dense = open_dense(stored(unit(50, 8)), "Flat", SearchSettings(), rng)
    with pytest.raises(DataError, match="dimension"):
        dense.search(unit(1, 7), 3)
    bad = unit(2, 8)
    bad[1, 3] = np.nan
    with pytest.raises(DataError, match="query vector 1"):
        dense.search(bad, 3)


def test_hnsw_gets_its_beam_width():
    assert create_index("HNSW32", 16).hnsw.efConstruction > 40


def test_the_stage_writes_what_plain_faiss_and_json_read(workspace):
    import faiss

    parts = workspace.parts(words(60))
    index = faiss.read_index(str(parts["index"].file("index.faiss")))
    info = json.loads(parts["index"].file("index.json").read_text())
    assert index.ntotal == info["count"] == 60
    assert info["metric"] == "inner_product"
    assert info["model_digest"] == parts["model"].digest
    assert info["corpus_digest"] == parts["corpus"].digest
    assert info["recall"]["value"] == 1.0
    assert info["recall"]["source"] == "60 document"
    assert {"curve.png", "ids.parquet", "documents.arrow"} <= set(parts["index"].manifest.files)


def test_the_stage_is_reproducible_to_the_byte(workspace, tmp_path):
    first = workspace.parts(words(60), factory="HNSW8", threads=1)
    second = Workspace(tmp_path / "other").parts(words(60), factory="HNSW8", threads=1)
    assert first["index"].digest == second["index"].digest


def test_real_queries_are_preferred_for_tuning(workspace):
    corpus, model = workspace.corpus(words(60)), workspace.model()
    vectors = workspace.vectors(corpus, model)
    queries = workspace.queries({f"q{i}": text for i, text in enumerate(words(80, seed=5).values())})
    index = workspace.index(corpus, model, vectors, queries, tuning_queries=70)
    assert IndexInfo.read(index.path).recall.source == "70 dev"


def test_the_stage_refuses_vectors_of_another_model_or_corpus(workspace):
    corpus, model = workspace.corpus(words(20)), workspace.model()
    vectors = workspace.vectors(corpus, model)
    with pytest.raises(MismatchError, match="another model"):
        workspace.index(corpus, workspace.model(shift=1), vectors)
    with pytest.raises(MismatchError, match="another corpus"):
        workspace.index(workspace.corpus(words(20, seed=1)), model, vectors)


def test_a_full_disk_while_the_index_is_written_is_one_clear_error(tmp_path):
    index = create_index("Flat", 8)
    index.add(unit(100_000, 8))
    (tmp_path / "index.faiss").symlink_to("/dev/full")
    with pytest.raises(DiskFull, match="free space"):
        save_faiss(index, tmp_path / "index.faiss")
    assert not (tmp_path / "index.faiss").is_symlink()

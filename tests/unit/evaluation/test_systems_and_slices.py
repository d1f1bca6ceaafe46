"""Systems by hand on the toy encoder; comparisons, run files, slices and examples."""

from __future__ import annotations

import io

import numpy as np
import pytest
from evaluation_data import write_corpus, write_queries
from toys import ToyEncoder

from embedlib.errors import DataError
from embedlib.evaluation.compare import compare, natural_pairs
from embedlib.evaluation.examples import gains
from embedlib.evaluation.judged import read_judged
from embedlib.evaluation.model_on_set import DenseSystem, leading
from embedlib.evaluation.runs import read_run, write_run
from embedlib.evaluation.significance import Interval
from embedlib.evaluation.slices import slice_figures, slices_of
from embedlib.evaluation.statistics import Resampling
from embedlib.evaluation.systems import Options, evaluate_systems
from embedlib.retrieval.hits import Hits, without


class ToyVectors:
    """A corpus's vectors by the toy encoder, in blocks of two."""

    dimension = 27

    def __init__(self, texts):
        self.vectors = ToyEncoder().encode_documents(list(texts))

    def blocks(self):
        for start in range(0, len(self.vectors), 2):
            yield start, self.vectors[start : start + 2]

    def take(self, rows):
        return self.vectors[rows]


def world(tmp_path, texts, queries, withheld=None, cut_from=None):
    corpus = write_corpus(tmp_path / "corpus", texts, cut_from=cut_from)
    folder = write_queries(tmp_path / "queries", queries, withheld)
    (judged,) = read_judged(corpus, folder, "test").values()
    return corpus, judged


def toy(corpus, name="base", **changes):
    return DenseSystem(name, ToyEncoder(), ToyVectors(corpus.texts()), **changes)


def query(i, text, relevant, origin="human", label=None):
    return (i, text, "test", origin, label, relevant)


RR = Options(measures=("RR@10",), depth=100)


def test_reciprocal_ranks_by_hand(tmp_path):
    corpus, judged = world(
        tmp_path,
        {"a": "aaa", "b": "aab", "c": "ccc"},
        [query("q1", "aa", {"b": 1}), query("q2", "cc", {"c": 1})],
    )
    result = evaluate_systems(corpus, judged, [toy(corpus)], RR)
    assert result.values["base"]["RR@10"].tolist() == [0.5, 1.0]
    assert result.values["base"]["RR@10"].mean() == 0.75


def test_own_id_and_own_text_are_no_hits(tmp_path):
    corpus, judged = world(
        tmp_path,
        {"a": "aaa", "b": "aab", "c": "abb"},
        [query("a", "aaaa", {"b": 1}), query("q", "abb", {"b": 1})],
    )
    result = evaluate_systems(corpus, judged, [toy(corpus)], RR)
    assert result.values["base"]["RR@10"].tolist() == [1.0, 1.0]


def test_a_derived_query_is_searched_in_its_document_without_it_and_encoded_once(tmp_path):
    texts = {"a": "aaa zzz", "b": "ab"}
    corpus, judged = world(
        tmp_path, texts, [query("q", "aaa", {"a": 1}, "derived:title")], withheld={"a": "zzz"}
    )
    system = toy(corpus)
    options = Options(measures=("RR@10",), depth=100, bm25=True)
    result = evaluate_systems(corpus, judged, [system], options)
    assert result.values["base"]["RR@10"].tolist() == [0.5]
    assert result.values["bm25"]["RR@10"].tolist() == [0.0]
    assert system.encoder.texts == ["aaa", "zzz"]


def test_chunks_of_one_document_count_once(tmp_path):
    corpus, judged = world(
        tmp_path,
        {"x1": "aaa", "x2": "aaab", "y1": "aab"},
        [query("q", "aa", {"Y": 1})],
        cut_from={"x1": "X", "x2": "X", "y1": "Y"},
    )
    result = evaluate_systems(corpus, judged, [toy(corpus)], RR)
    assert result.values["base"]["RR@10"].tolist() == [0.5]


def test_systems_come_in_the_order_of_the_report_and_runs_are_written(tmp_path):
    corpus, judged = world(tmp_path, {"a": "apple", "b": "bread"}, [query("q", "apple tart", {"a": 1})])
    options = Options(
        measures=("RR@10",),
        depth=100,
        bm25=True,
        hybrid=True,
        reranker=(lambda pairs: np.array([len(t) for _, t in pairs], dtype=np.float32), 100),
        runs={"mine": {"q": {"b": 2.0, "a": 1.0}}},
        folder=tmp_path,
    )
    result = evaluate_systems(corpus, judged, [toy(corpus, dimensions=(5,))], options)
    assert list(result.values) == [
        "base", "base@5", "bm25", "hybrid:base", "rerank:base", "rerank:bm25", "rerank:hybrid:base", "mine"
    ]  # fmt: skip
    assert result.values["mine"]["RR@10"].mean() == 0.5
    run = read_run(tmp_path / "human.hybrid-base.trec")
    assert next(iter(run["q"])) == "a"


def test_query_blocks_do_not_change_values(tmp_path, monkeypatch):
    texts = {f"d{i}": w for i, w in enumerate(["aaab", "abbb", "ccc", "abc", "bca"])}
    queries = [
        query(f"q{i}", t, {f"d{i % 5}": 1}) for i, t in enumerate(["ab", "ba", "cc", "ac", "bc", "aa", "b"])
    ]
    corpus, judged = world(tmp_path, texts, queries)
    whole = evaluate_systems(corpus, judged, [toy(corpus)], RR).values["base"]["RR@10"]
    monkeypatch.setattr("embedlib.evaluation.systems.QUERY_BLOCK", 2)
    assert (
        evaluate_systems(corpus, judged, [toy(corpus)], RR).values["base"]["RR@10"].tolist() == whole.tolist()
    )


def test_without_moves_the_rest_up():
    hits = Hits(np.array([[3, 1, 2]]), np.array([[9, 8, 7]], dtype=np.float32))
    found = without(hits, [{3}])
    assert found.rows.tolist() == [[1, 2, -1]]
    assert found.scores[0, :2].tolist() == [8, 7]
    assert hits.rows.tolist() == [[3, 1, 2]]


def test_leading_components_are_brought_to_unit_norm():
    out = leading(np.array([[3.0, 4.0, 12.0], [0.0, 0.0, 1.0]], dtype=np.float32), 2)
    assert out.tolist() == pytest.approx(np.array([[0.6, 0.8], [0.0, 0.0]]))


def test_run_files_round_trip_in_order_with_equal_float32_scores(tmp_path):
    run = {"q1": {"b": float(np.float32(0.1)), "a": float(np.float32(0.1)), "c": 7.0}, "q2": {"a": -1.5}}
    stream = io.StringIO()
    write_run(stream, run, "tag")
    assert [line.split()[2:4] for line in stream.getvalue().splitlines()[:3]] == [
        ["c", "1"],
        ["a", "2"],
        ["b", "3"],
    ]
    path = tmp_path / "x.trec"
    path.write_text(stream.getvalue())
    again = read_run(path)
    assert {q: {d: np.float32(s) for d, s in ds.items()} for q, ds in again.items()} == run


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q Q0 d 1 0.5 t\nq Q0 d 2 0.4 t\n", "two ranks for query 'q'.*line 2"),
        ("q Q0 x 1 0.5 t\n", "unknown document 'x'"),
        ("z Q0 d 1 0.5 t\n", "unknown query 'z'"),
        ("q Q0 d 1 nan t\n", "not finite.*line 1"),
        ("q Q0 d\n", "malformed line.*line 1"),
        ("q Q0 d 1 high t\n", "malformed line"),
        ("", "without a hit"),
    ],
)
def test_bad_run_files_are_refused(tmp_path, text, message):
    path = tmp_path / "x.trec"
    path.write_text(text)
    with pytest.raises(DataError, match=f"(?s){message}"):
        read_run(path, queries={"q"}, documents={"d"})
    with pytest.raises(DataError, match="cannot be read"):
        read_run(tmp_path / "none.trec")


def test_comparison_counts_and_adjusts_within_a_measure():
    rng = np.random.default_rng(0)
    base = rng.random(80)
    values = {
        "base": {"m": base, "w": base},
        "better": {"m": base + 0.1, "w": base},
        "same": {"m": base, "w": base},
    }
    found = compare(
        values, [("better", "base"), ("same", "base")], ["m", "w"], Resampling(rng, 999), dataset="human"
    )
    by_key = {(c.system, c.measure): c for c in found}
    better = by_key["better", "m"]
    assert (better.better, better.worse, better.p) == (80, 0, 0.001)
    assert better.p_holm == 0.002
    assert better.effect_size is None  # the difference is the same for every query: infinitely many spreads
    assert (by_key["same", "m"].difference.mean, by_key["same", "m"].p) == (0.0, 1.0)
    with pytest.raises(DataError, match="missing"):
        compare(values, [("missing", "base")], ["m"], Resampling(rng), dataset="human")


def test_natural_pairs_without_a_candidate_compare_with_the_first():
    assert natural_pairs(["one", "two", "bm25"]) == [("two", "one"), ("bm25", "one")]
    assert natural_pairs(["one"]) == []


def test_natural_pairs_hold_each_hybrid_against_the_model_it_is_made_of():
    pairs = natural_pairs(["base", "candidate", "bm25", "hybrid:base", "hybrid:candidate"])
    assert pairs[-2:] == [("hybrid:candidate", "candidate"), ("hybrid:base", "base")]
    assert len(set(pairs)) == len(pairs)


def test_slices_by_hand(tmp_path):
    texts = {f"d{i}": "common words " * 3 + (f"unique{i}" if i == 0 else "") for i in range(4)}
    corpus, judged = world(
        tmp_path,
        texts,
        [
            query("q1", "unique0", {"d0": 1}, label="rare"),
            query("q2", "common words in a longer question with many words", {"d1": 1}),
        ],
    )
    found = slices_of(judged, corpus.texts())
    assert found["query length", "1-3 words"] == [0]
    assert found["query length", "9 words and more"] == [1]
    assert found["rare words", "with"] == [0]
    assert found["rare words", "without"] == [1]
    assert found["label", "rare"] == [0]
    assert found["origin", "human"] == [0, 1]
    assert found["document length", "up to 50 words"] == [0, 1]
    figures = slice_figures(
        found, np.array([1.0, 0.0]), np.array([0.5, 0.5]), Resampling(np.random.default_rng(0), 50)
    )
    by_key = {(f.name, f.value): f for f in figures}
    assert by_key["label", "rare"].difference == Interval(0.5, 0.5, 0.5, 1)
    assert by_key["origin", "human"].difference.mean == 0


def test_examples_name_what_changed(tmp_path):
    corpus, judged = world(
        tmp_path, {"a": "aaa", "b": "bbb"}, [query("q1", "aa", {"a": 1}), query("q2", "ab", {"b": 1})]
    )
    result = evaluate_systems(corpus, judged, [toy(corpus), toy(corpus, "candidate")], RR)
    result.values["candidate"]["RR@10"] = np.array([0.5, 1.0])
    found = gains(result, corpus, "RR@10", count=1)
    assert found.differences == [0.5, -0.5]
    (gained,), (lost,) = found.gained, found.lost
    assert (gained.query, gained.before, gained.after) == ("ab", 0.5, 1.0)
    assert [(shown.doc_id, shown.text) for shown in gained.relevant] == [("b", "bbb")]
    assert [h.relevance for h in lost.hits_before] == [1, 0]

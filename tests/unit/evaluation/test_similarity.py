"""Similarity sets against scipy, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from toys import ToyEncoder

from embedlib.errors import DataError
from embedlib.evaluation.significance import Interval
from embedlib.evaluation.similarity import (
    SentencePairs,
    _Ranks,
    correlations,
    cosines,
    read_pairs,
    spearman_difference,
)
from embedlib.evaluation.statistics import Resampling


@pytest.fixture
def values():
    rng = np.random.default_rng(0)
    gold = np.round(rng.uniform(0, 5, 120) * 4) / 4  # with ties, as in STSBenchmark
    return gold + rng.normal(0, 1, 120), gold + rng.normal(0, 2, 120), gold


def test_correlations_match_scipy(values):
    found = correlations(values[0], values[2], Resampling(np.random.default_rng(0), 500))
    assert found["Spearman"].mean == pytest.approx(stats.spearmanr(values[0], values[2]).statistic)
    assert found["Pearson"].mean == pytest.approx(stats.pearsonr(values[0], values[2]).statistic)
    assert found["Spearman"].low < found["Spearman"].mean < found["Spearman"].high


def test_ranks_in_a_resample_match_scipy_on_the_resample_itself(values):
    rng = np.random.default_rng(1)
    for x in (values[0], values[2]):
        drawn = rng.integers(0, len(x), len(x))
        counts = np.bincount(drawn, minlength=len(x)).astype(float)
        assert _Ranks(x)(counts[None, :])[0][drawn] == pytest.approx(stats.rankdata(x[drawn]))


def test_bootstrap_interval_of_a_difference_matches_resampling_by_hand(values):
    a, b, gold = values
    after, before, d = spearman_difference(a, b, gold, Resampling(np.random.default_rng(0), 4000))
    rng = np.random.default_rng(7)
    by_hand = []
    for _ in range(2000):
        i = rng.integers(0, len(gold), len(gold))
        by_hand.append(stats.spearmanr(a[i], gold[i]).statistic - stats.spearmanr(b[i], gold[i]).statistic)
    assert after - before == pytest.approx(d.mean)
    assert (d.low, d.high) == pytest.approx(tuple(np.quantile(by_hand, [0.025, 0.975])), abs=0.012)


def test_cosines_by_hand_and_each_sentence_encoded_once():
    encoder = ToyEncoder()
    pairs = SentencePairs(["aa", "ab"], ["aa", "aa"], np.array([5.0, 3.0]))
    assert cosines(encoder, pairs) == pytest.approx([1.0, 1 / np.sqrt(2)], abs=1e-5)
    assert encoder.texts == ["aa", "ab"]


def test_a_constant_model_has_no_correlation():
    found = correlations(np.ones(5), np.arange(5.0), Resampling(np.random.default_rng(0), 50))
    assert found["Spearman"] == Interval(0.0, 0.0, 0.0, 5)


def write(path, *lines):
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_columns_are_found_by_name(tmp_path):
    path = write(tmp_path / "a.tsv", "score\tsentence2\tid\tsentence1", '4.5\tb "x\t1\ta', "1\td\t2\tc")
    pairs = read_pairs(path)
    assert (pairs.first, pairs.second, pairs.scores.tolist()) == (["a", "c"], ['b "x', "d"], [4.5, 1.0])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["sentence1\tsentence2", "a\tb"], "columns missing.*score"),
        (["sentence1\tsentence2\tscore", "a\tb\tx"], "not a number.*line 2"),
        (["sentence1\tsentence2\tscore", "a\tb\tnan"], "not a number"),
        (["sentence1\tsentence2\tscore", "a\t\t1"], "sentence is empty"),
        (["sentence1\tsentence2\tscore", "a\tb"], "too few columns"),
        (["sentence1\tsentence2\tscore", "a\tb\t1", "c\td\t1"], "scores that differ"),
        ([""], "columns missing"),
    ],
)
def test_bad_files_are_refused(tmp_path, lines, message):
    with pytest.raises(DataError, match=f"(?s){message}"):
        read_pairs(write(tmp_path / "a.tsv", *lines))


def test_a_missing_file_and_a_nan_are_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_pairs(tmp_path / "none.tsv")
    with pytest.raises(DataError, match="pair 1"):
        correlations(np.array([1.0, np.nan]), np.arange(2.0), Resampling(np.random.default_rng(0), 10))

"""The energy test: its value by hand and against scipy's, its p-value under both hypotheses."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import energy_distance

from embedlib.errors import DataError
from embedlib.monitoring.drift import energy_test, out_of_vocabulary, vocabulary

RNG = np.random.default_rng


def normal(rng, n, d=8, shift=0.0):
    return (rng.normal(size=(n, d)) + shift).astype(np.float32)


def test_by_hand():
    # X = {0, 2}, Y = {10, 14}: 2 E|X-Y| = 22, E|X-X'| = 1, E|Y-Y'| = 2 (self pairs included).
    drift = energy_test(np.array([[0.0], [2.0]]), np.array([[10.0], [14.0]]), rng=RNG(0))
    assert drift.energy == pytest.approx(22 - 1 - 2)
    assert drift.effect == pytest.approx(19 / 22)
    assert (drift.reference, drift.recent) == (2, 2)


def test_equals_scipy_in_one_dimension():
    rng = RNG(1)
    x, y = normal(rng, 40, 1), normal(rng, 60, 1, shift=0.7)
    ours = energy_test(x, y, rng=rng, permutations=9).energy
    # scipy gives the square root of E
    assert np.sqrt(ours) == pytest.approx(energy_distance(x[:, 0], y[:, 0]), rel=1e-5)


def test_equal_samples_are_at_distance_zero():
    x = normal(RNG(2), 30)
    drift = energy_test(x, x, rng=RNG(3))
    assert drift.energy == pytest.approx(0, abs=1e-9)
    assert drift.p_value == 1


def test_a_shift_is_found_and_its_p_value_is_the_smallest_possible():
    rng = RNG(4)
    drift = energy_test(normal(rng, 80), normal(rng, 80, shift=1.0), rng=rng, permutations=199)
    assert drift.p_value == 1 / 200
    assert drift.effect > 0.1


def test_p_values_are_uniform_when_nothing_drifted():
    rng = RNG(5)
    ps = [energy_test(normal(rng, 25), normal(rng, 35), rng=rng, permutations=99).p_value for _ in range(200)]
    assert 0.02 <= np.mean(np.array(ps) <= 0.05) <= 0.09
    assert 0.4 < np.mean(ps) < 0.6


def test_order_of_the_samples_and_of_their_rows_does_not_matter():
    rng = RNG(6)
    x, y = normal(rng, 30), normal(rng, 20, shift=0.3)
    forward = energy_test(x, y, rng=RNG(0))
    backward = energy_test(y[::-1], x[rng.permutation(30)], rng=RNG(0))
    assert forward.energy == pytest.approx(backward.energy, rel=1e-6)


@pytest.mark.parametrize(
    ("reference", "recent", "message"),
    [
        (np.zeros((1, 3)), np.zeros((5, 3)), "too few reference"),
        (np.zeros((5, 3)), np.zeros((0, 3)), "too few recent"),
        (np.zeros((5, 3)), np.full((5, 3), np.nan), "recent sample's vector 0"),
        (np.zeros((5, 3)), np.zeros((5, 4)), "not encoded by one model"),
    ],
)
def test_bad_samples_are_refused(reference, recent, message):
    with pytest.raises(DataError, match=message):
        energy_test(reference, recent, rng=RNG(0))


def test_unknown_words_are_counted_by_occurrence():
    known = vocabulary(["Copy files to a disk", "The DISK is full"])
    assert out_of_vocabulary(["copy the disk"], known) == 0
    assert out_of_vocabulary(["copy qubits", "qubits, qubits!"], known) == pytest.approx(3 / 4)
    assert out_of_vocabulary([], known) == 0

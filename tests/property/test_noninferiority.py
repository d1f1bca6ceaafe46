"""The test of a student: at most 2.5 % of inferior ones pass, and good ones do."""

from __future__ import annotations

import numpy as np
import pytest

from embedlib.errors import DataError
from embedlib.evaluation.noninferiority import keeps
from embedlib.evaluation.statistics import Resampling


def values(rng, n, mean):
    """nDCG-like values: many zeros and ones, the given mean."""
    return rng.beta(0.5 * mean / (1 - mean) + 0.05, 0.5, size=n) if mean else np.zeros(n)


def test_at_most_one_in_forty_students_at_the_margin_passes():
    """Students whose true mean is exactly the share of the teacher's: the hardest inferior ones."""
    rng = np.random.default_rng(0)
    passed = 0
    for _ in range(2000):
        teacher = rng.choice([0.0, 0.39, 0.63, 1.0], size=150)
        # expectation 0.9 t for each query, with a spread of its own
        student = np.clip(teacher * 0.9 + rng.choice([-0.1, 0.1], size=150) * teacher, 0, 1)
        passed += keeps(student, teacher, 0.9, Resampling(rng, 400)).proven
    assert passed / 2000 <= 0.025 + 3 * np.sqrt(0.025 * 0.975 / 2000)
    assert passed > 0  # the test is not one that never passes


def test_a_student_as_good_as_its_teacher_passes_and_a_bad_one_does_not():
    rng = np.random.default_rng(1)
    teacher = values(rng, 200, 0.5)
    same = keeps(teacher.copy(), teacher, 0.95, Resampling(rng))
    half = keeps(teacher * 0.5, teacher, 0.95, Resampling(rng))
    assert same.proven
    assert same.kept == pytest.approx(1.0)
    assert not half.proven
    assert half.kept == pytest.approx(0.5)


def test_values_of_different_queries_are_refused():
    with pytest.raises(DataError, match="cannot be compared"):
        keeps(np.zeros(3), np.zeros(4), 0.9, Resampling(np.random.default_rng(0)))

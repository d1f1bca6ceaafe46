"""Vectors with one fault each, beside healthy ones."""

from __future__ import annotations

import numpy as np
import pytest

from embedlib.doctor.findings import Severity
from embedlib.doctor.vectors import check_anisotropy, check_collapse, check_norms, mean_cosine

RNG = np.random.default_rng


def unit(n=300, d=32, common=0.0, seed=0):
    """Random directions, all shifted along one of them by ``common``."""
    x = RNG(seed).normal(size=(n, d))
    x[:, 0] += common * np.sqrt(d)
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def test_healthy_vectors_pass_every_check():
    x = unit()
    assert check_norms(x, declared_unit=True).severity == Severity.OK
    assert check_anisotropy(x, RNG(1)).severity == Severity.OK
    assert check_collapse(x, [str(i) for i in range(len(x))]).severity == Severity.OK


def test_float16_storage_is_still_of_unit_norm():
    assert check_norms(unit().astype(np.float16).astype(np.float32), True).severity == Severity.OK


def test_not_normalised_though_declared_so():
    found = check_norms(unit() * 1.5, declared_unit=True)
    assert found.severity == Severity.ERROR
    assert found.evidence["largest norm"] == pytest.approx(1.5, rel=1e-3)


def test_differing_norms_under_the_inner_product_are_a_warning_and_under_l2_not():
    x = unit() * np.linspace(0.5, 3, 300, dtype=np.float32)[:, None]
    assert check_norms(x, declared_unit=False).severity == Severity.WARNING
    assert check_norms(x, declared_unit=False, metric="l2").severity == Severity.OK
    assert check_norms(2 * unit(), declared_unit=False).severity == Severity.OK


def test_not_finite():
    x = unit()
    x[7, 3] = np.nan
    found = check_norms(x, declared_unit=True)
    assert found.severity == Severity.ERROR
    assert found.evidence["rows"] == [7]


@pytest.mark.parametrize(
    ("common", "severity"), [(0.0, Severity.OK), (1.8, Severity.WARNING), (6.0, Severity.ERROR)]
)
def test_the_narrower_the_cone_the_worse(common, severity):
    assert check_anisotropy(unit(common=common), RNG(2)).severity == severity


def test_mean_cosine_is_that_of_all_pairs_of_different_rows():
    x = unit(n=40, common=0.5)
    cosines = x @ x.T
    exact = (cosines.sum() - np.trace(cosines)) / (40 * 39)
    assert mean_cosine(x, RNG(3), pairs=400_000) == pytest.approx(exact, abs=2e-3)
    assert mean_cosine(np.ones((2, 4), dtype=np.float32), RNG(3)) == pytest.approx(1)


def test_different_texts_with_one_vector():
    x = unit()
    x[:40] = x[0]
    found = check_collapse(x, [str(i) for i in range(300)])
    assert found.severity == Severity.WARNING
    assert found.evidence["share"] == pytest.approx(40 / 300)


def test_equal_texts_may_share_their_vector():
    x = unit()
    x[:40] = x[0]
    assert check_collapse(x, ["same"] * 40 + [str(i) for i in range(260)]).severity == Severity.OK

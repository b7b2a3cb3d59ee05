"""Data with which something is wrong: dependent columns, too many of them, separable labels, one row, no minimum."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from sparsopt.errors import InvalidInput, NotFinite
from sparsopt.problems import LeastSquares, Logistic, Quadratic
from tests.problems import data, everything, seeds


@given(seeds, st.integers(4, 12), st.booleans(), st.booleans())
def test_dependent_columns(seed, n, intercept, sparse):
    """Duplicates, a constant and a zero column: the value of the independent ones, the least norm, no NaN."""
    draws = np.random.default_rng(seed)
    base = draws.standard_normal((n, 2))
    X = np.column_stack([base[:, 0], base[:, 0], np.full(n, 0.1), base[:, 1], np.zeros(n), -2 * base[:, 1]])
    y = draws.standard_normal(n)
    problem = LeastSquares(scipy.sparse.csc_matrix(X) if sparse else X, y, 0.0, intercept)
    x, value = problem.minimise_on(everything(6), None)
    assert math.isclose(
        value, LeastSquares(X[:, [0, 2, 3]], y, 0.0, intercept).minimise_on(everything(3))[1], abs_tol=1e-9
    )
    A = X - X.mean(axis=0) * intercept
    if intercept:
        A[:, 2] = 0.0
        assert problem.curvature()[2] == 0.0
    np.testing.assert_allclose(x, np.linalg.pinv(A, rcond=1e-10) @ (y - intercept * y.mean()), rtol=1e-5, atol=1e-7)
    labels = np.arange(n) % 2
    logistic = Logistic(X, labels, 0.0, intercept)
    x, value = logistic.minimise_on(everything(6), None)
    assert np.isfinite(x).all() and 0 <= value <= math.log(2) + 1e-12
    assert np.abs(logistic.gradient(x)).max() <= 1e-7


@given(seeds, st.integers(2, 6), st.integers(7, 12), st.booleans(), st.booleans(), st.sampled_from([0.0, 1e-8, 0.1]))
def test_more_columns_than_rows(seed, n, p, intercept, sparse, ridge):
    draws = np.random.default_rng(seed)
    X, y = draws.standard_normal((n, p)), draws.standard_normal(n)
    X[draws.random((n, p)) < 0.3] = 0.0
    problem = LeastSquares(scipy.sparse.csr_matrix(X) if sparse else X, y, ridge, intercept)
    x, value = problem.minimise_on(everything(p), None)
    A, z = X - X.mean(axis=0) * intercept, y - y.mean() * intercept
    if ridge:
        expected = np.linalg.solve(A.T @ A / n + ridge * np.eye(p), A.T @ z / n)
    else:
        expected = np.linalg.pinv(A, rcond=1e-9) @ z
    size = 1 + np.abs(expected).max()
    truth = np.sum((z - A @ expected) ** 2) / (2 * n) + ridge / 2 * expected @ expected
    assert value <= truth + 1e-9 * size**2
    if ridge >= 0.1 or not ridge:
        np.testing.assert_allclose(x, expected, atol=1e-6 * size)


def test_nearly_dependent_columns_are_fitted_as_well_as_by_lstsq():
    draws = np.random.default_rng(0)
    for noise in (1e-3, 1e-5, 1e-7, 1e-9, 1e-11):
        a, b = draws.standard_normal((2, 50))
        X, y = np.column_stack([a, a + noise * b]), b
        value = LeastSquares(X, y).minimise_on(everything(2))[1]
        r = y - X @ np.linalg.lstsq(X, y)[0]
        assert value <= r @ r / 100 + 1e-6


@pytest.mark.parametrize("ridge", [0.0, 1e-6])
@pytest.mark.parametrize("intercept", [False, True])
def test_separable_labels_end_at_a_finite_point(ridge, intercept):
    draws = np.random.default_rng(1)
    X = draws.standard_normal((30, 4))
    problem = Logistic(X, X[:, 0] > 0, ridge, intercept)
    x, value = problem.minimise_on(everything(4), None)
    assert np.isfinite(x).all() and value < (1e-10 if ridge == 0 else 1e-2)
    assert np.abs(problem.gradient(x)).max() < 1e-9
    again, second = problem.minimise_on(everything(4), x)
    assert np.isfinite(again).all() and second <= value + 1e-15


def test_a_wild_warm_start_does_no_harm():
    X, _, labels = data(5, (40, 3))
    problem = Logistic(X, labels, 0.01)
    x, value = problem.minimise_on(everything(3), None)
    for start in (1e3 * np.ones(3), np.array([-1e6, 1.0, 0.0]), x):
        other, second = problem.minimise_on(everything(3), start)
        np.testing.assert_allclose(other, x, rtol=1e-6)
        assert math.isclose(value, second, rel_tol=1e-12)


@pytest.mark.parametrize("intercept", [False, True])
def test_one_row_and_the_empty_support(intercept):
    problem = LeastSquares(np.array([[2.0, 1.0]]), [4.0], 0.0, intercept)
    x, value = problem.minimise_on(np.array([True, False]))
    assert value < 1e-28 and x[0] == (0.0 if intercept else 2.0)
    x, value = problem.minimise_on(np.zeros(2, dtype=bool))
    assert not x.any() and value == (0.0 if intercept else 8.0)
    assert Logistic(np.eye(2), [0, 1]).minimise_on(np.zeros(2, dtype=bool))[1] == pytest.approx(math.log(2))


def test_quadratic_without_a_minimum():
    with pytest.raises(NotFinite, match=r"support \[0\] has no minimum: c is not in the range"):
        Quadratic(np.diag([0.0, 1.0]), [1e-10, 1.0]).minimise_on(np.array([True, False]))
    with pytest.raises(NotFinite, match=r"not convex \(eigenvalue -1\)"):
        Quadratic(np.array([[1.0, 2.0], [2.0, 1.0]]), [0.0, 0.0]).minimise_on(everything(2))
    with pytest.raises(InvalidInput, match=r"H\[1, 1\] = -1, but H must be positive semi-definite"):
        Quadratic(np.diag([1.0, -1.0]), [0.0, 0.0])
    x, value = Quadratic(np.ones((2, 2)), [1.0, 1.0]).minimise_on(everything(2))
    np.testing.assert_allclose(x, [0.5, 0.5])
    assert value == pytest.approx(-0.5)

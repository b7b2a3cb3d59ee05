"""Least squares, logistic regression and quadratics against closed forms and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsopt.problems import LeastSquares, Logistic, Quadratic
from tests.conftest import scaled
from tests.problems import data, everything, masks, seeds, shapes


@given(seeds, shapes, st.sampled_from([0.0, 0.3]), st.booleans())
def test_least_squares_is_lstsq_with_a_column_of_ones(seed, shape, ridge, intercept):
    X, y, _ = data(seed, shape)
    n, support = shape[0], masks(seed, shape[1])
    A = np.hstack([X[:, support], np.ones((n, 1))]) if intercept else X[:, support]
    penalty = np.sqrt(n * ridge) * np.eye(A.shape[1])
    if intercept:
        penalty[-1] = 0.0
    if A.shape[1] == 0:
        expected, b = np.zeros(0), 0.0
    else:
        solution = np.linalg.lstsq(np.vstack([A, penalty]), np.concatenate([y, np.zeros(len(penalty))]))[0]
        expected, b = (solution[:-1], solution[-1]) if intercept else (solution, 0.0)
    problem = LeastSquares(X, y, ridge, intercept)
    x, value = problem.minimise_on(support, None)
    r = y - X[:, support] @ expected - b
    truth = r @ r / (2 * n) + ridge / 2 * expected @ expected
    assert math.isclose(value, truth, rel_tol=1e-9, abs_tol=1e-12 * (y @ y))
    assert not x[~support].any()
    assert math.isclose(value, problem.value(x), rel_tol=1e-12, abs_tol=1e-13 * (y @ y))
    if np.linalg.matrix_rank(A) == A.shape[1]:
        np.testing.assert_allclose(x[support], expected, rtol=1e-6, atol=1e-8)
        assert math.isclose(problem.intercept(x), b, rel_tol=1e-6, abs_tol=1e-8)


@given(seeds, shapes)
def test_value_and_gradient_of_least_squares(seed, shape):
    X, y, _ = data(seed, shape)
    draws = np.random.default_rng(seed)
    x, s = draws.standard_normal(shape[1]), draws.random(shape[0]) + 0.1
    problem = LeastSquares(X, y, 0.2, True, s)
    b = s @ (y - X @ x) / s.sum()
    r = y - X @ x - b
    assert math.isclose(problem.value(x), s @ r**2 / (2 * s.sum()) + 0.1 * x @ x, rel_tol=1e-12)
    assert math.isclose(problem.intercept(x), b, rel_tol=1e-10, abs_tol=1e-12)
    np.testing.assert_allclose(problem.gradient(x), 0.2 * x - X.T @ (s * r) / s.sum(), rtol=1e-9, atol=1e-11)
    spread = (s @ X**2) / s.sum() - (s @ X / s.sum()) ** 2
    np.testing.assert_allclose(problem.curvature(), spread + 0.2, rtol=1e-9, atol=1e-12)


@given(seeds, shapes, st.booleans())
def test_value_of_logistic_is_the_minimum_over_the_intercept(seed, shape, intercept):
    X, _, labels = data(seed, shape)
    draws = np.random.default_rng(seed)
    x, s = 3 * draws.standard_normal(shape[1]), draws.random(shape[0]) + 0.1
    problem = Logistic(X, labels, 0.2, intercept, s)

    def loss(b):
        return s @ np.logaddexp(0, -(2 * labels - 1) * (X @ x + b)) / s.sum() + 0.1 * x @ x

    b = problem.intercept(x)
    assert math.isclose(problem.value(x), loss(b), rel_tol=1e-12)
    if intercept:
        chance = 1 / (1 + np.exp(-(X @ x + b)))
        assert abs(s @ (chance - labels) / s.sum()) < 1e-12
        assert all(loss(b) <= loss(b + step) + 1e-15 for step in (-1.0, -1e-3, 1e-3, 1.0))
    else:
        assert b == 0.0


@given(seeds, st.sampled_from([(40, 3), (60, 6)]), st.sampled_from([0.001, 0.1]), st.booleans())
@settings(max_examples=scaled(30))
def test_logistic_is_the_one_of_scikit_learn(seed, shape, ridge, intercept):
    from sklearn.linear_model import LogisticRegression

    X, _, labels = data(seed, shape)
    model = LogisticRegression(C=1 / (shape[0] * ridge), fit_intercept=intercept, tol=1e-12, solver="newton-cholesky")
    model.fit(X, labels)
    problem = Logistic(X, labels, ridge, intercept)
    x, value = problem.minimise_on(everything(shape[1]), None)
    np.testing.assert_allclose(x, model.coef_[0], rtol=1e-5, atol=1e-6)
    assert math.isclose(problem.intercept(x), float(np.ravel(model.intercept_)[0]), rel_tol=1e-5, abs_tol=1e-6)
    assert value <= problem.value(model.coef_[0]) + 1e-14
    assert np.abs(problem.gradient(x)).max() <= 1e-10 * (1 + np.abs(X).max())


@given(seeds, shapes, st.sampled_from([1e-3, 1.0]))
@settings(max_examples=scaled(30))
def test_least_squares_is_the_ridge_of_scikit_learn(seed, shape, ridge):
    from sklearn.linear_model import Ridge

    X, y, _ = data(seed, shape)
    s = np.random.default_rng(seed).random(shape[0]) + 0.1
    model = Ridge(alpha=ridge * s.sum(), solver="svd").fit(X, y, sample_weight=s)
    problem = LeastSquares(X, y, ridge, True, s)
    x, _ = problem.minimise_on(everything(shape[1]), None)
    np.testing.assert_allclose(x, model.coef_, rtol=1e-6, atol=1e-9)
    assert math.isclose(problem.intercept(x), model.intercept_, rel_tol=1e-6, abs_tol=1e-8)


@given(seeds, st.integers(1, 7))
def test_quadratic_closed_forms(seed, p):
    draws = np.random.default_rng(seed)
    A = draws.standard_normal((p + 1, p))
    H, c, x = A.T @ A + 0.1 * np.eye(p), draws.standard_normal(p), draws.standard_normal(p)
    problem, support = Quadratic(H, c, 1.5), masks(seed, p)
    assert math.isclose(problem.value(x), x @ H @ x / 2 - c @ x + 1.5, rel_tol=1e-12, abs_tol=1e-12)
    np.testing.assert_allclose(problem.gradient(x), H @ x - c, rtol=1e-10, atol=1e-12)
    found, value = problem.minimise_on(support, None)
    expected = np.linalg.solve(H[np.ix_(support, support)], c[support])
    np.testing.assert_allclose(found[support], expected, rtol=1e-8, atol=1e-10)
    assert math.isclose(value, problem.value(found), rel_tol=1e-10, abs_tol=1e-10)
    np.testing.assert_array_equal(problem.hessian_columns(np.array([p - 1])), H[:, [p - 1]])


def test_representations_are_short():
    X = np.arange(6.0).reshape(3, 2)
    assert repr(LeastSquares(X, [1, 2, 3], 0.5, True)) == "LeastSquares(n=3, p=2, ridge=0.5, intercept=True)"
    assert repr(Logistic(X, [0, 1, 1])) == "Logistic(n=3, p=2, ridge=0, intercept=True)"
    assert repr(Quadratic(np.eye(2), [1, 2])) == "Quadratic(p=2)"

"""What the tests of least squares, logistic regression and quadratics share: data, one problem of each kind, and a
comparison of two problems in everything that they are asked."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st

from sparsopt.problems import LeastSquares, Logistic, Quadratic

seeds = st.integers(0, 2**32 - 1)
shapes = st.tuples(st.integers(3, 25), st.integers(1, 8))


def data(seed, shape, mean=1.0):
    """X with some zeros, a target that depends on it, and labels that are not separable as a rule."""
    draws = np.random.default_rng(seed)
    X = draws.standard_normal(shape) + mean * draws.standard_normal(shape[1])
    X[draws.random(shape) < 0.3] = 0.0
    y = X @ draws.standard_normal(shape[1]) + draws.standard_normal(shape[0]) + draws.standard_normal()
    labels = (draws.standard_normal(shape[0]) + 0.5 * X[:, 0] > 0).astype(float)
    labels[:2] = (0.0, 1.0)
    return X, y, labels


def masks(seed, p):
    return np.random.default_rng((seed, 7)).random(p) < 0.6


def everything(p):
    return np.ones(p, dtype=bool)


def family(seed, shape, ridge):
    """One problem of each kind on the same data."""
    X, y, labels = data(seed, shape)
    return [
        LeastSquares(X, y, ridge),
        LeastSquares(X, y, ridge, intercept=True),
        Logistic(X, labels, ridge + 0.01),
        Logistic(X, labels, ridge + 0.01, intercept=False),
        Quadratic(X.T @ X + (ridge + 1e-3) * np.eye(shape[1]), X.T @ y, 2.5),
    ]


def compare(first, second, seed, rtol=1e-8, restore=lambda x: x):
    """Everything a problem is asked agrees; `restore` maps points of the first to points of the second."""
    p = first.p
    draws = np.random.default_rng((seed, 3))
    x = np.where(masks(seed + 1, p), draws.standard_normal(p), 0.0)
    assert math.isclose(first.value(x), second.value(restore(x)), rel_tol=rtol)
    np.testing.assert_allclose(restore(first.gradient(x)), second.gradient(restore(x)), rtol=rtol, atol=1e-9)
    v = draws.standard_normal(p)
    product = second.hessian_product(restore(x), restore(v))
    np.testing.assert_allclose(restore(first.hessian_product(x, v)), product, rtol=rtol, atol=1e-9)
    support = masks(seed, p)
    mine, value = first.minimise_on(support, None)
    other, other_value = second.minimise_on(restore(support), None)
    assert math.isclose(value, other_value, rel_tol=rtol, abs_tol=1e-10)
    np.testing.assert_allclose(restore(mine), other, rtol=1e-5, atol=1e-6)
    assert math.isclose(first.smoothness(), second.smoothness(), rel_tol=1e-8, abs_tol=1e-10)
    assert math.isclose(first.strong_convexity(), second.strong_convexity(), rel_tol=1e-6, abs_tol=1e-10)

"""The same problem in another shape: sparse, weighted, permuted, scaled, shifted, in other types of number."""

from __future__ import annotations

import math

import numpy as np
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsopt.problems import LeastSquares, Logistic
from tests.conftest import scaled
from tests.problems import compare, data, masks, seeds, shapes


@given(seeds, shapes, st.booleans(), st.booleans(), st.sampled_from(["csr_matrix", "csc_array", "coo_matrix"]))
def test_sparse_is_dense(seed, shape, intercept, weighted, kind):
    X, y, labels = data(seed, shape)
    S = getattr(scipy.sparse, kind)(X)
    s = np.random.default_rng(seed).integers(0, 3, shape[0]) + 0.5 if weighted else None
    compare(LeastSquares(S, y, 0.1, intercept, s), LeastSquares(X, y, 0.1, intercept, s), seed)
    compare(Logistic(S, labels, 0.1, intercept, s), Logistic(X, labels, 0.1, intercept, s), seed)
    part = np.arange(shape[1])[::2]
    sparse, dense = LeastSquares(S, y, 0.1, intercept, s), LeastSquares(X, y, 0.1, intercept, s)
    np.testing.assert_allclose(sparse.hessian_columns(part), dense.hessian_columns(part), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(sparse.curvature(), dense.curvature(), rtol=1e-9, atol=1e-12)


@given(seeds, shapes, st.booleans())
def test_weights_are_repeated_rows(seed, shape, intercept):
    X, y, labels = data(seed, shape)
    times = np.random.default_rng(seed).integers(0, 4, shape[0])
    times[:2] = (1, 2)
    rows = np.repeat(np.arange(shape[0]), times)
    compare(LeastSquares(X, y, 0.1, intercept, times), LeastSquares(X[rows], y[rows], 0.1, intercept), seed, rtol=1e-7)
    compare(Logistic(X, labels, 0.1, intercept, times), Logistic(X[rows], labels[rows], 0.1, intercept), seed)


@given(seeds, shapes)
def test_permuted_columns(seed, shape):
    order = np.random.default_rng(seed).permutation(shape[1])
    X, y, labels = data(seed, shape)
    back = lambda x: x[order]  # noqa: E731
    compare(LeastSquares(X, y, 0.1, True), LeastSquares(X[:, order], y, 0.1, True), seed, restore=back)
    compare(Logistic(X, labels, 0.1), Logistic(X[:, order], labels, 0.1), seed, restore=back)


@given(seeds, shapes, st.sampled_from([1e-6, 1e-2, 1e5]))
@settings(max_examples=scaled(60))
def test_scaled_columns(seed, shape, size):
    """Without ridge, columns times t give coefficients divided by t and the same value."""
    X, y, labels = data(seed, shape)
    scales = size ** np.random.default_rng(seed).uniform(-1, 1, shape[1])
    support = masks(seed, shape[1])
    mine, value = LeastSquares(X, y, 0.0, True).minimise_on(support, None)
    other, scaled_value = LeastSquares(X * scales, y, 0.0, True).minimise_on(support, None)
    assert math.isclose(value, scaled_value, rel_tol=1e-6, abs_tol=1e-9 * (y @ y))
    A = X[:, support] - X[:, support].mean(axis=0)
    if A.size and np.linalg.matrix_rank(A) == A.shape[1] and np.linalg.cond(A) < 1e4:
        np.testing.assert_allclose(other * scales, mine, rtol=1e-5, atol=1e-7)
        problem = Logistic(X, labels, 0.0)
        value, other = (f.minimise_on(support)[1] for f in (problem, Logistic(X * scales, labels, 0.0)))
        assert math.isclose(value, other, rel_tol=1e-7, abs_tol=1e-8)


@given(seeds, shapes)
def test_shifted_columns_change_nothing_but_the_intercept(seed, shape):
    X, y, labels = data(seed, shape)
    shift = 1e4 * np.random.default_rng(seed).standard_normal(shape[1])
    support, x = masks(seed, shape[1]), np.random.default_rng(seed).standard_normal(shape[1])
    for first, second in (
        (LeastSquares(X, y, 0.1, True), LeastSquares(X + shift, y, 0.1, True)),
        (Logistic(X, labels, 0.1), Logistic(X + shift, labels, 0.1)),
    ):
        assert math.isclose(first.value(x), second.value(x), rel_tol=1e-9)
        np.testing.assert_allclose(first.gradient(x), second.gradient(x), rtol=1e-6, atol=1e-8)
        assert math.isclose(first.intercept(x) - shift @ x, second.intercept(x), rel_tol=1e-8, abs_tol=1e-6)
        np.testing.assert_allclose(first.minimise_on(support)[0], second.minimise_on(support)[0], atol=1e-6)


@given(seeds, shapes)
def test_float32_is_kept_and_close(seed, shape):
    X, y, labels = data(seed, shape)
    single = X.astype(np.float32)
    support = masks(seed, shape[1])
    for first, second in (
        (LeastSquares(single, y, 0.1, True), LeastSquares(single.astype(float), y, 0.1, True)),
        (Logistic(single, labels, 0.1), Logistic(single.astype(float), labels, 0.1)),
    ):
        x, value = first.minimise_on(support)
        truth, best = second.minimise_on(support)
        assert x.dtype == first.gradient(x).dtype == first.start(0).x.dtype == np.float32
        assert math.isclose(value, best, rel_tol=1e-5)
        np.testing.assert_allclose(x, truth, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(first.gradient(x), second.gradient(x.astype(float)), atol=1e-4)


def test_integers_booleans_lists_and_frames_of_numbers_are_converted():
    X, y = np.array([[1, 0], [0, 1], [1, 1]]), [1, 2, 4]
    assert LeastSquares(X, y).start(0).x.dtype == np.float64
    value = LeastSquares(X.astype(float), y).value(np.ones(2))
    assert LeastSquares(X.astype(bool), y).value(np.ones(2)) == value == LeastSquares(X.tolist(), y).value(np.ones(2))
    assert LeastSquares(X.astype(object), y).value(np.ones(2)) == value
    X = np.ones((3, 2), order="F")
    assert LeastSquares(X, y).design.X is X  # not copied
    compare(Logistic(np.eye(3), [0, 1, 1], 0.1), Logistic(np.eye(3), [-1, 1, 1], 0.1), 0)
    compare(Logistic(np.eye(3), [False, True, True], 0.1), Logistic(np.eye(3), [-1, 1, 1], 0.1), 0)

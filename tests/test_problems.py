"""The losses against closed forms, other libraries, and themselves in another shape."""

from __future__ import annotations

import itertools
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsopt.catalogue import METHODS, omp
from sparsopt.errors import InvalidInput, NotFinite
from sparsopt.method import run
from sparsopt.problems import LeastSquares, Logistic, Problem, Quadratic, check_problem
from sparsopt.problems import columns as columns_module
from sparsopt.problems import designs as designs_module
from sparsopt.problems import spectrum as spectrum_module
from sparsopt.problems.factor import Factor
from sparsopt.problems.spectrum import lanczos_bound, restricted_extremes
from tests.conftest import scaled

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


# ---- closed forms --------------------------------------------------------------------------------------------------


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


# ---- the same problem in another shape ------------------------------------------------------------------------------


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


# ---- what goes wrong in data ----------------------------------------------------------------------------------------


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
        Quadratic(np.zeros((2, 2)), [1.0, 0.0]).minimise_on(np.array([True, False]))
    with pytest.raises(NotFinite, match=r"not convex \(eigenvalue -1\)"):
        Quadratic(np.diag([1.0, -1.0]), [0.0, 0.0]).minimise_on(everything(2))
    x, value = Quadratic(np.ones((2, 2)), [1.0, 1.0]).minimise_on(everything(2))
    np.testing.assert_allclose(x, [0.5, 0.5])
    assert value == pytest.approx(-0.5)


# ---- bad input ------------------------------------------------------------------------------------------------------

X3 = np.arange(6.0).reshape(3, 2)
HOLED = X3.copy()
HOLED[1, 1], HOLED[2, 0] = np.nan, np.inf
BAD = [
    (lambda: LeastSquares(HOLED, [1, 2, 3]), "X has 2 entries NaN or infinite, the first at row 1, column 1; drop or"),
    (
        lambda: LeastSquares(scipy.sparse.csr_matrix(HOLED), [1, 2, 3]),
        "X has 2 entries NaN or infinite, the first at row 2",
    ),
    (lambda: LeastSquares(X3, [1, np.nan, 3]), "y has 1 entry NaN or infinite, the first at row 1; drop or impute"),
    (lambda: LeastSquares(X3, [1, 2]), "y has 2 entries for 3 rows; one entry a row is needed"),
    (
        lambda: LeastSquares(X3, np.ones((3, 1))),
        r"y has shape \(3, 1\); a vector \(3,\) is needed; y.ravel\(\) would do",
    ),
    (lambda: LeastSquares(X3[:, 0], [1, 2, 3]), r"X has shape \(3,\); a matrix .* X.reshape\(-1, 1\) would do"),
    (lambda: LeastSquares(X3[:0], []), r"X has shape \(0, 2\): it has no rows"),
    (lambda: LeastSquares(X3[:, :0], [1, 2, 3]), r"X has shape \(3, 0\): it has no columns"),
    (lambda: LeastSquares([["a", "b"]], [1]), "X has entries of type <U1; real numbers are needed"),
    (lambda: LeastSquares(np.array([[1, "b"]], object), [1]), "X has an entry 'b' that is not a number"),
    (lambda: LeastSquares(X3 * 1j, [1, 2, 3]), "X has entries of type complex128; real numbers are needed"),
    (
        lambda: LeastSquares(X3 * 1e160, [1, 2, 3]),
        "X has entries up to 5e.160, whose squares overflow in float64; rescale",
    ),
    (lambda: LeastSquares(X3, [1, 2, 3], ridge=-1), "ridge = -1.0 is negative; give a number >= 0"),
    (lambda: LeastSquares(X3, [1, 2, 3], ridge=math.nan), "ridge = nan is not finite"),
    (lambda: LeastSquares(X3, [1, 2, 3], ridge="big"), "ridge = 'big' is not a number"),
    (
        lambda: LeastSquares(X3, [1, 2, 3], sample_weight=[1, -2, -1]),
        r"sample_weight has 2 negative entries, the first at row 1 \(-2\)",
    ),
    (lambda: LeastSquares(X3, [1, 2, 3], sample_weight=[0, 0, 0]), "sample_weight is zero everywhere"),
    (lambda: Logistic(X3, [0, 1, 2]), r"y has 3 distinct values \(0, 1, 2\); labels \{0, 1\} or \{-1, 1\}"),
    (lambda: Logistic(X3, [1, 1, 1]), r"y has 1 distinct value \(1\); .* both have to occur"),
    (lambda: Logistic(X3, [1, 2, 1]), r"y has 2 distinct values \(1, 2\)"),
    (lambda: Logistic(X3, [0, 1, 0], sample_weight=[1, 0, 1]), r"y has 1 distinct value \(-1\)"),
    (lambda: Quadratic(X3, [1, 2, 3]), r"H has shape \(3, 2\); a square matrix is needed"),
    (lambda: Quadratic([[1, 2], [3, 4]], [1, 2]), r"H is not symmetric: \|H - H'\| is up to 1; \(H \+ H.T\) / 2 gives"),
    (lambda: Quadratic(np.eye(2), [1]), "c has 1 entries for 2 rows"),
    (lambda: Quadratic(np.eye(2), [1, 2], math.inf), "constant = inf is not finite"),
    (lambda: Quadratic(scipy.sparse.eye(2), [1, 2]), r"H is a sparse matrix; give a NumPy array \(H.toarray\(\)\)"),
    (
        lambda: LeastSquares(X3, [1, 2, 3]).minimise_on(np.array([0, 1])),
        r"support is int64 of shape \(2,\); a boolean mask",
    ),
    (
        lambda: Logistic(X3, [0, 1, 1]).minimise_on(everything(3)),
        r"support is bool of shape \(3,\); a boolean mask of shape",
    ),
]


@pytest.mark.parametrize(("act", "sentence"), BAD)
def test_bad_input_is_named(act, sentence):
    with pytest.raises(InvalidInput, match=sentence):
        act()


def test_representations_are_short():
    assert repr(LeastSquares(X3, [1, 2, 3], 0.5, True)) == "LeastSquares(n=3, p=2, ridge=0.5, intercept=True)"
    assert repr(Logistic(X3, [0, 1, 1])) == "Logistic(n=3, p=2, ridge=0, intercept=True)"
    assert repr(Quadratic(np.eye(2), [1, 2])) == "Quadratic(p=2)"


# ---- constants ------------------------------------------------------------------------------------------------------


@given(seeds, shapes, st.sampled_from([0.0, 0.3]))
def test_constants_bound_all_eigenvalues_tightly(seed, shape, ridge):
    for problem in family(seed, shape, ridge)[:2]:
        H = problem.hessian_columns(np.arange(problem.p))
        values, size = np.linalg.eigvalsh(H), np.linalg.norm(H) + 1e-300
        assert values[-1] - 1e-13 * size <= problem.smoothness() <= values[-1] + 1e-9 * size
        assert values[0] - 1e-9 * size <= problem.strong_convexity() <= values[0] + 1e-13 * size
        for s in range(1, problem.p + 1):
            subsets = [np.linalg.eigvalsh(H[np.ix_(S, S)]) for S in itertools.combinations(range(problem.p), s)]
            low, high = min(v[0] for v in subsets), max(v[-1] for v in subsets)
            assert high - 1e-13 * size <= problem.smoothness(s) <= high + 1e-9 * size
            assert max(low, ridge) - 1e-9 * size <= problem.strong_convexity(s) <= max(low, ridge) + 1e-13 * size


@given(seeds, st.integers(2, 9), st.integers(1, 8))
def test_bounds_without_enumeration_are_bounds(seed, p, s):
    A = np.random.default_rng(seed).standard_normal((p + 2, p))
    H = A.T @ A
    low, high = restricted_extremes(H, s)
    original = spectrum_module.MOST_SUBSETS
    try:
        spectrum_module.MOST_SUBSETS = 0
        wide_low, wide_high = restricted_extremes(H, s)
    finally:
        spectrum_module.MOST_SUBSETS = original
    assert wide_low <= low + 1e-9 and wide_high >= high - 1e-9


@given(seeds, st.integers(1, 60))
@settings(max_examples=scaled(50))
def test_lanczos_gives_an_upper_bound(seed, n):
    A = np.random.default_rng(seed).standard_normal((n, n)) * np.exp(np.random.default_rng(seed).uniform(-3, 3))
    H = A @ A.T
    truth = float(np.linalg.eigvalsh(H)[-1])
    assert truth <= lanczos_bound(lambda v: H @ v, n) <= 1.3 * truth
    assert lanczos_bound(lambda v: 0 * v, n) == 0.0


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("shape", [(40, 60), (60, 40)])
def test_constants_of_large_problems(monkeypatch, shape, sparse, intercept):
    """Above the limit for exact eigenvalues, here lowered: still bounds."""
    X, y, _ = data(3, shape)
    X = scipy.sparse.csr_matrix(X) if sparse else X
    exact = LeastSquares(X, y, 0.1, intercept)
    truth = exact.smoothness()
    monkeypatch.setattr(spectrum_module, "EXACT", 10)
    large = LeastSquares(X, y, 0.1, intercept)
    assert truth <= large.smoothness() * (1 + 1e-12) and large.smoothness() <= 1.5 * truth
    assert large.strong_convexity() == 0.1
    assert large.design.outer_bound() >= truth - 0.1


def test_smoothness_of_a_symmetric_matrix_beyond_the_limit(monkeypatch):
    monkeypatch.setattr(spectrum_module, "EXACT", 1)
    problem = Quadratic(np.array([[3.0, -1.0], [-1.0, 2.0]]), [1.0, 1.0])
    values = np.linalg.eigvalsh(problem.H)
    assert problem.smoothness() >= values[-1] and 0 < problem.strong_convexity() <= values[0]


@given(seeds, shapes)
def test_rounding_bounds_the_distance_to_exact_sums(seed, shape):
    """Against fractions of the same numbers."""
    from fractions import Fraction as F

    X, y, _ = data(seed, (min(shape[0], 6), min(shape[1], 3)))
    problem, x = LeastSquares(X, y, 0.25), np.random.default_rng(seed).standard_normal(X.shape[1])
    exact = [F(t) - sum(F(a) * F(w) for a, w in zip(row, x, strict=True)) for row, t in zip(X, y, strict=True)]
    value = sum(r * r for r in exact) / (2 * len(y)) + F(1, 8) * sum(F(w) ** 2 for w in x)
    doubt, doubts = problem.rounding(x)
    assert abs(F(problem.value(x)) - value) <= F(doubt)
    for j, g in enumerate(problem.gradient(x)):
        truth = F(1, 4) * F(x[j]) - sum(F(row[j]) * r for row, r in zip(X, exact, strict=True)) / len(y)
        assert abs(F(g) - truth) <= F(doubts[j])
    assert doubt < 1e-10 * (1 + y @ y) * (1 + x @ x)


# ---- memory and threads ---------------------------------------------------------------------------------------------


@given(seeds, shapes, st.sampled_from([0.0, 0.2]), st.lists(st.integers(0, 255), min_size=2, max_size=12))
@settings(max_examples=scaled(40))
def test_an_opened_problem_answers_like_a_fresh_one(seed, shape, ridge, supports):
    """Any sequence of supports: growing, shrinking, swapping, all at once."""
    for problem in family(seed, shape, ridge):
        opened, x = problem.open(), None
        for bits in supports:
            support = np.array([bits >> j & 1 for j in range(problem.p)], dtype=bool)
            x, value = opened.minimise_on(support, x)
            fresh, expected = problem.minimise_on(support, None)
            size = 1 + np.abs(fresh).max(initial=0.0)
            assert math.isclose(value, expected, rel_tol=1e-9, abs_tol=1e-9)
            np.testing.assert_allclose(opened.gradient(x), problem.gradient(x), rtol=1e-7, atol=1e-9 * size)
            assert opened.gradient(x) is opened.gradient(x)
            moved = x + 1.0
            np.testing.assert_allclose(opened.gradient(moved), problem.gradient(moved), rtol=1e-8, atol=1e-9)
            assert math.isclose(opened.value(moved), problem.value(moved), rel_tol=1e-10)


def test_a_point_changed_in_place_is_a_new_point():
    for problem in family(0, (12, 4), 0.1):
        opened, x = problem.open(), np.ones(4)
        before = opened.gradient(x).copy()
        x[2] = 5.0
        np.testing.assert_allclose(opened.gradient(x), problem.gradient(x))
        assert not np.allclose(opened.gradient(x), before)


def test_memory_stays_within_what_the_supports_need(monkeypatch):
    monkeypatch.setattr(columns_module, "ROOM", 3)
    X, y, _ = data(1, (30, 20))
    problem, draws = LeastSquares(X, y, 0.1), np.random.default_rng(0)
    opened = problem.open()
    for _ in range(30):
        support = np.isin(np.arange(20), draws.permutation(20)[:4])
        value = opened.minimise_on(support, None)[1]
        assert math.isclose(value, problem.minimise_on(support, None)[1], rel_tol=1e-10)
        assert opened._memo.columns.index.size <= 11
    assert problem._memo is None


def test_no_method_multiplies_by_all_of_x_more_than_once_a_step(monkeypatch):
    """OMP: k steps, k products with the whole matrix."""
    calls = []
    original = designs_module.Dense.tdot
    monkeypatch.setattr(designs_module.Dense, "tdot", lambda self, r: calls.append(1) or original(self, r))
    X, y, _ = data(2, (50, 200))
    problem = LeastSquares(X, y)
    run(omp(10), problem, problem.start(0))
    assert len(calls) == 10


@pytest.mark.parametrize("kind", range(5))
def test_threads_may_share_a_problem(kind):
    problem = family(11, (60, 40), 0.1)[kind]
    method = METHODS["omp"](8, problem)

    def solve(_):
        own = run(method, problem, problem.start(0)).x
        return own, problem.minimise_on(own != 0, None)[1], problem.gradient(own)

    truth = solve(0)
    with ThreadPoolExecutor(4) as pool:
        for answer in pool.map(solve, range(24)):
            for mine, expected in zip(answer, truth, strict=True):
                np.testing.assert_array_equal(mine, expected)


@given(seeds, st.lists(st.integers(1, 63), min_size=1, max_size=10))
def test_the_factor_follows_any_support(seed, supports):
    A = np.random.default_rng(seed).standard_normal((8, 6))
    H, b, factor = A.T @ A, np.arange(6.0), Factor()
    for bits in supports:
        support = np.array([bits >> j & 1 for j in range(6)], dtype=bool)
        order = factor.arrange(support)
        assert sorted(order) == np.flatnonzero(support).tolist()
        x = factor.solve(order, H[np.ix_(order, order)], b[order])
        np.testing.assert_allclose(H[np.ix_(order, order)] @ x, b[order], atol=1e-5)
    assert Factor().solve(np.arange(2), np.ones((2, 2)), np.ones(2)) is None


# ---- check_problem --------------------------------------------------------------------------------------------------


@given(seeds, shapes, st.sampled_from([0.0, 0.1]))
@settings(max_examples=scaled(15))
def test_our_problems_pass_their_check(seed, shape, ridge):
    for problem in family(seed, shape, ridge):
        report = check_problem(problem, seed % 1000)
        assert report.ok, str(report)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_the_check_does_not_depend_on_units(dtype, size):
    X, y, labels = data(8, (60, 10))
    for problem in (LeastSquares((X * size).astype(dtype), y / size), Logistic((X * size).astype(dtype), labels)):
        report = check_problem(problem)
        assert report.ok, str(report)


class Wrong(LeastSquares):
    """Least squares with one lie, chosen by name."""

    def __init__(self, lie):
        X, y, _ = data(4, (30, 6))
        super().__init__(X, y, 0.1)
        self.lie = lie

    def gradient(self, x):
        g = super().gradient(x)
        if self.lie == "failing":
            raise RuntimeError("no gradient today")
        return g * (1.001 if self.lie == "gradient" else 1.0)

    def value(self, x):
        return super().value(x) + (0.1 * float(np.cos(x).sum()) if self.lie == "value" else 0.0)

    def hessian_product(self, x, v):
        return super().hessian_product(x, v) + (0.001 * v if self.lie == "hessian" else 0.0)

    def smoothness(self, s=None):
        return super().smoothness(s) * (0.2 if self.lie == "smoothness" else 1.0)

    def strong_convexity(self, s=None):
        return super().strong_convexity(s) * (30.0 if self.lie == "strong" else 1.0)

    def curvature(self):
        return super().curvature() * (0.99 if self.lie == "curvature" else 1.0)

    def minimise_on(self, support, x=None):
        x, value = super().minimise_on(support, x)
        if self.lie == "support":
            return x + 1e-12, value
        if self.lie == "minimiser":
            return x * 1.01, self.value(x * 1.01)
        return x, value * (1.001 if self.lie == "reported" else 1.0)


LIES = {
    "gradient": "value and gradient",
    "value": "value and gradient",
    "hessian": "hessian_product",
    "smoothness": "smoothness",
    "strong": "strong convexity",
    "curvature": "curvature()",
    "support": "support",
    "minimiser": "stationary",
    "reported": "value",
    "failing": "start",
}


@pytest.mark.parametrize(("lie", "claim"), LIES.items())
def test_the_check_finds_every_lie(lie, claim):
    report = check_problem(Wrong(lie))
    assert not report.ok and any(claim in line.claim for line in report.failures), str(report)
    assert "FAIL" in str(report)


def test_the_check_of_a_constant_function():
    report = check_problem(LeastSquares(np.zeros((3, 2)), [1, 2, 3]))
    assert report.ok, str(report)


def test_the_check_passes_without_a_lie_and_says_so():
    report = check_problem(Wrong("none"))
    assert report.ok and str(report).startswith("LeastSquares(n=30, p=6, ridge=0.1, intercept=False): all claims hold")


class Concave(Problem):
    def value(self, x):
        return -float(x @ x) / 2

    def gradient(self, x):
        return -x


def test_the_check_of_a_loss_with_few_capabilities():
    report = check_problem(Concave(3))
    assert [line.claim for line in report.failures] == ["convex along random directions"]
    assert len(report.lines) == 2

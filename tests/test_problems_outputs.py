"""Softmax and several outputs: k counts features, and scikit-learn agrees."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sparsopt
from sparsopt.errors import InvalidInput, MissingCapability
from sparsopt.problems import LeastSquares, Logistic, MultiOutput, Softmax, preselected
from tests.conftest import scaled
from tests.worked import data, everything, losses, truth

seeds = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("intercept", [False, True])
@given(seed=seeds)
@settings(max_examples=scaled(5))
def test_softmax_is_the_multinomial_model_of_scikit_learn(seed, intercept):
    from sklearn.linear_model import LogisticRegression

    X, eta, draws = data(seed)
    y = np.digitize(eta + draws.standard_normal(50), [-0.5, 0.5]).astype(str)
    y[:3] = ("0", "1", "2")
    model = LogisticRegression(C=1 / (50 * 0.1), fit_intercept=intercept, tol=1e-10, max_iter=1000).fit(X, y)
    problem = Softmax(X, y, 0.1, intercept)
    assert problem.classes.tolist() == ["0", "1", "2"]
    x, value = problem.minimise_on(everything(problem))
    np.testing.assert_allclose(x.reshape(7, 3), model.coef_.T, rtol=1e-3, atol=1e-5)
    W, b = model.coef_.T, model.intercept_
    np.testing.assert_allclose(problem.intercept(x) if intercept else 0.0, b - b.mean(), atol=1e-4)
    z = X @ W + b
    loss = np.mean(np.log(np.exp(z).sum(axis=1)) - z[np.arange(50), y.astype(int)]) + 0.05 * np.sum(W**2)
    assert loss - 1e-8 <= value <= loss + 1e-12


@given(seeds)
@settings(max_examples=scaled(10))
def test_softmax_with_two_classes_is_logistic(seed):
    X, eta, draws = data(seed, 30)
    y = eta + draws.standard_normal(30) > 0
    y[:2] = (True, False)
    two, one = Softmax(X, y, 0.2), Logistic(X, y, 0.1)  # rows (-w, w)/2 have half the squared norm of w
    w = draws.standard_normal(7)
    assert math.isclose(two.value(np.column_stack([-w / 2, w / 2]).ravel()), one.value(w), rel_tol=1e-12)
    x, value = two.minimise_on(everything(two))
    other, expected = one.minimise_on(everything(one))
    assert math.isclose(value, expected, rel_tol=1e-10)
    np.testing.assert_allclose(x.reshape(7, 2)[:, 1] * 2, other, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("intercept", [False, True])
@given(seed=seeds)
@settings(max_examples=scaled(10))
def test_several_outputs_are_the_ridge_of_scikit_learn(seed, intercept):
    from sklearn.linear_model import Ridge

    X, eta, draws = data(seed)
    Y, s = np.column_stack([eta, eta**2, draws.standard_normal(50)]), draws.random(50) + 0.1
    model = Ridge(alpha=0.1 * s.sum(), fit_intercept=intercept, solver="cholesky").fit(X, Y, sample_weight=s)
    problem = MultiOutput(X, Y, 0.1, intercept, s)
    x, value = problem.minimise_on(everything(problem))
    np.testing.assert_allclose(x.reshape(7, 3), model.coef_.T, rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(problem.intercept(x), model.intercept_, rtol=1e-7, atol=1e-10)
    R = Y - model.predict(X)
    expected = s @ (R**2).sum(axis=1) / (2 * s.sum()) + 0.05 * np.sum(model.coef_**2)
    assert math.isclose(value, expected, rel_tol=1e-10)


def test_one_output_is_least_squares():
    X, eta, draws = data(1)
    y = eta + draws.standard_normal(50)
    first, second = MultiOutput(X, y[:, None], 0.1, True), LeastSquares(X, y, 0.1, True)
    x = draws.standard_normal(7)
    assert math.isclose(first.value(x), second.value(x), rel_tol=1e-13)
    np.testing.assert_allclose(first.gradient(x), second.gradient(x), rtol=1e-12)
    assert first.strong_convexity() == second.strong_convexity()
    result = sparsopt.solve(first, 3)
    assert math.isclose(result.value, sparsopt.solve(second, 3).value, rel_tol=1e-10)


def whole_rows(result, width):
    rows = result.support.reshape(-1, width)
    return bool((rows.all(axis=1) == rows.any(axis=1)).all()) and not result.x[~result.support].any()


@pytest.mark.parametrize("name", ["softmax", "multi-output"])
def test_k_counts_features_in_every_method_that_knows_structures(name):
    problem = losses(5)[name]
    width, ran = problem.p // 7, 0
    for method in ("auto", "omp", "replacement", "ols", "backward-elimination", "iht", "niht", "htp", "cosamp", "foba"):
        try:
            result = sparsopt.solve(problem, 2, method)
        except MissingCapability as error:
            assert "chooses single coordinates" in str(error), method
            continue
        ran += 1
        assert whole_rows(result, width) and result.support.sum() <= 2 * width, method
        assert result.value >= truth(problem, 2) - 1e-12
    assert ran == 9
    assert sparsopt.solve(problem, 7).status is sparsopt.Status.CLIPPED


def test_preselected_features_and_partial_rows():
    problem = losses(6)["softmax"]
    result = sparsopt.solve(preselected(problem, [4]), 2)
    assert result.support.reshape(7, 3)[4].all() and result.support.sum() == 6
    support = np.zeros(21, dtype=bool)
    support[[0, 4, 5]] = True  # a support that cuts rows is respected, too
    for part in (problem, losses(6)["multi-output"]):
        own = support[: part.p]
        x, value = part.minimise_on(own)
        assert not x[~own].any() and np.abs(part.gradient(x)[own]).max() < 1e-9
        assert math.isclose(value, part.value(x), rel_tol=1e-12)


def test_an_opened_problem_answers_like_a_fresh_one():
    for name in ("softmax", "multi-output"):
        problem = losses(7)[name]
        opened, draws, x = problem.open(), np.random.default_rng(0), None
        for _ in range(6):
            support = np.repeat(draws.random(7) < 0.5, problem.p // 7)
            x, value = opened.minimise_on(support, x)
            fresh, expected = problem.minimise_on(support, None)
            assert math.isclose(value, expected, rel_tol=1e-9)
            np.testing.assert_allclose(x, fresh, rtol=1e-5, atol=1e-8)
            np.testing.assert_allclose(opened.gradient(x), problem.gradient(x), atol=1e-10)


def test_bad_input_is_named():
    X = np.eye(3)
    with pytest.raises(InvalidInput, match=r"y has shape \(2,\); one label for each of 3 rows"):
        Softmax(X, [0, 1])
    with pytest.raises(InvalidInput, match="at least two"):
        Softmax(X, ["a", "a", "a"])
    with pytest.raises(InvalidInput, match="at least two, all of them, need it"):
        Softmax(X, ["a", "b", "c"], sample_weight=[1, 1, 0])
    with pytest.raises(InvalidInput, match=r"y has labels such as 2.5: measurements have no classes; LeastSquares"):
        Softmax(np.eye(3), [1.0, 2.5, 3.0])
    with pytest.raises(InvalidInput, match="labels NaN"):
        Softmax(X, [0.0, np.nan, 1.0])
    with pytest.raises(InvalidInput, match=r"Y has shape \(3,\); a matrix with 3 rows is needed"):
        MultiOutput(X, [1, 2, 3])
    with pytest.raises(InvalidInput, match="Y has 1 entry NaN"):
        MultiOutput(X, [[1, 2], [3, np.nan], [4, 5]])


@pytest.mark.parametrize("size", [1.0, 30.0, 1e3, 1e5])
def test_the_intercepts_are_the_best_however_far_scores_lie_apart(size):
    """Where data are separable Newton's method walks far away; a general solver from there and from 0 finds no less."""
    from scipy.optimize import minimize
    from scipy.special import logsumexp, softmax

    for seed in range(scaled(8)):
        draws = np.random.default_rng([61, seed])
        X, y = draws.standard_normal((20, 3)), draws.permutation(np.arange(20) % 4)
        f = Softmax(X, y, sample_weight=draws.integers(1, 4, 20))
        W = size * draws.standard_normal((3, 4))
        z, share = f.design.dot(W), f.design.shares

        def loss(b, z=z, share=share, y=y):
            value = share @ (logsumexp(z + b, axis=1) - (z + b)[np.arange(20), y])
            return value, share @ softmax(z + b, axis=1) - np.bincount(y, share)

        for start in (np.zeros(4), f._best_intercept(z)):
            found = minimize(loss, start, jac=True, method="BFGS")
            assert f.value(W.ravel()) <= found.fun * (1 + 1e-9)


def test_separable_classes_end_soon():
    """There is no minimiser: the steps end where the loss no longer tells, and no support beats a larger one."""
    draws = np.random.default_rng(62)
    X = draws.standard_normal((12, 6))
    f = Softmax(X, np.arange(12) % 3)
    values = [f.minimise_on(np.repeat(np.arange(6) < size, 3))[1] for size in range(7)]
    assert (np.diff(values) <= 1e-9).all() and values[-1] < 1e-6

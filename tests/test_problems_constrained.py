"""Bounds on coefficients and standardised columns, against SciPy, scikit-learn and every support."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import lsq_linear, minimize, nnls

import sparsopt
from sparsopt.errors import InvalidInput, MissingCapability, NotFinite
from sparsopt.problems import LeastSquares, Quadratic, check_problem, constrained, grouped, preselected, standardised
from tests.conftest import scaled
from tests.worked import LABELS, data, everything, losses, truth

seeds = st.integers(0, 2**32 - 1)
NAMES = list(losses(0))
METHODS_HERE = ("auto", "omp", "replacement", "foba", "forward-greedy", "iht", "niht", "htp", "cosamp", "randomised")


@given(seeds)
def test_non_negative_least_squares(seed):
    X, eta, draws = data(seed, 12)
    y, support = eta + draws.standard_normal(12), draws.random(7) < 0.7
    problem = constrained(LeastSquares(X, y), lower=0)
    x, value = problem.minimise_on(support)
    expected, distance = nnls(X[:, support], y) if support.any() else (np.zeros(0), np.linalg.norm(y))
    assert math.isclose(value, distance**2 / 24, rel_tol=1e-9, abs_tol=1e-12)
    np.testing.assert_allclose(x[support], expected, rtol=1e-6, atol=1e-8)
    assert (x >= 0).all() and not x[~support].any()


@given(seeds)
def test_a_box_around_zero(seed):
    X, eta, draws = data(seed, 12)
    y, low, high = 3 * eta + draws.standard_normal(12), -draws.random(7), draws.random(7)
    low[draws.random(7) < 0.2] = -np.inf
    high[draws.random(7) < 0.2] = 0.0
    problem = constrained(LeastSquares(X, y, intercept=False), low, high)
    x, value = problem.minimise_on(everything(problem))
    wide = np.where(high - low < 1e-9, low + 1e-9, high)
    found = lsq_linear(X, y, (low, wide), tol=1e-14, method="bvls")
    assert value <= found.cost / 12 + 1e-9
    np.testing.assert_allclose(x, found.x, atol=1e-5)
    assert (x >= low).all() and (x <= high).all()


@pytest.mark.parametrize("name", NAMES)
def test_every_loss_in_a_box_against_a_general_solver(name):
    inner = losses(1)[name]
    problem = constrained(inner, -0.1, 0.25)
    report = check_problem(problem)
    assert report.ok, str(report)
    x, value = problem.minimise_on(everything(problem))
    bounds = [(-0.1, 0.25)] * inner.p
    options = {"ftol": 1e-15, "gtol": 1e-10, "maxiter": 2000}
    found = minimize(inner.value, x * 0, jac=inner.gradient, method="L-BFGS-B", bounds=bounds, options=options)
    assert value <= found.fun + 1e-10
    assert (x >= -0.1).all() and (x <= 0.25).all() and ((x == -0.1) | (x == 0.25)).any()


@pytest.mark.parametrize("name", ["least squares", "poisson"])
def test_methods_keep_within_the_box(name):
    problem = constrained(losses(3)[name], 0.0, 0.3)
    best, ran = truth(problem, 2), 0
    for method in METHODS_HERE:
        try:
            result = sparsopt.solve(problem, 2, method)
        except MissingCapability:
            continue
        ran += 1
        assert (result.x >= 0).all() and (result.x <= 0.3).all(), method
        assert result.value >= best - 1e-12 and result.lower_bound <= best + 1e-12, method
        if method == "auto":
            assert math.isclose(result.value, best, rel_tol=1e-9)
    assert ran >= 6
    assert result.certificates.one_swap_optimal is None and result.certificates.l_stationary is None
    with pytest.raises(MissingCapability, match="does not know groups, always-selected columns or bounds"):
        sparsopt.solve(problem, 2, "branch-and-bound")


def test_greedy_does_not_select_what_only_a_negative_coefficient_would_use():
    X = np.eye(4)
    problem = constrained(LeastSquares(X, [-9.0, 3.0, 2.0, 1.0]), lower=0)
    assert sparsopt.solve(problem, 2, "omp").support.tolist() == [False, True, True, False]
    assert sparsopt.solve(problem, 2, "iht").support.tolist() == [False, True, True, False]


def test_bounds_make_a_minimum_where_there_was_none():
    flat = Quadratic(np.zeros((2, 2)), [1.0, -1.0])
    with pytest.raises(NotFinite):
        flat.minimise_on(np.ones(2, dtype=bool))
    x, value = constrained(flat, 0, 2).minimise_on(np.ones(2, dtype=bool))
    assert x.tolist() == [2.0, 0.0] and value == -2.0


def test_bounds_and_structures_together():
    problem = constrained(losses(4)["least squares"], lower=0)
    for other in (grouped(problem, LABELS), preselected(problem, [6])):
        result = sparsopt.solve(other, 2)
        assert (result.x >= 0).all() and math.isclose(result.value, truth(other, 2), rel_tol=1e-9)


def test_bad_bounds_are_named():
    problem = losses(0)["least squares"]
    with pytest.raises(InvalidInput, match=r"coordinate 0 is confined to \[1, inf\], which does not contain 0"):
        constrained(problem, lower=1)
    with pytest.raises(InvalidInput, match="vectors of 7 numbers"):
        constrained(problem, lower=np.zeros(3))
    with pytest.raises(InvalidInput, match=r"coordinate 2 is confined to \[nan"):
        constrained(problem, lower=np.array([0, 0, np.nan, 0, 0, 0, 0]))


# ---- standardised columns --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sparse", [False, True])
@given(seed=seeds)
@settings(max_examples=scaled(8))
def test_standardised_ridge_is_a_pipeline_of_scikit_learn(seed, sparse):
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    X, eta, draws = data(seed)
    X = X * 10.0 ** draws.integers(-3, 4, 7)
    y = eta + draws.standard_normal(50)
    pipeline = make_pipeline(StandardScaler(), Ridge(alpha=0.2 * 50, solver="cholesky")).fit(X, y)
    scaler, ridge = pipeline[0], pipeline[1]
    problem = standardised(LeastSquares(scipy.sparse.csc_array(X) if sparse else X, y, 0.2, True))
    result = sparsopt.solve(problem, 7)
    np.testing.assert_allclose(result.x, ridge.coef_ / scaler.scale_, rtol=1e-6)
    assert math.isclose(problem.intercept(result.x), pipeline.predict(np.zeros((1, 7)))[0], rel_tol=1e-6, abs_tol=1e-7)
    assert math.isclose(problem.value(result.x), result.value, rel_tol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_standardising_does_not_see_units(name):
    units = 10.0 ** np.random.default_rng(1).integers(-3, 4, 7)
    inner = losses(1)[name]
    other = inner._with(type(inner.design)(inner.design.X * units, inner.design.weight, inner.design.centred))
    first, second = standardised(inner), standardised(other)
    report = check_problem(first)
    assert report.ok, str(report)
    repeated = np.repeat(units, inner.p // 7)
    for method in ("auto", "omp"):
        a, b = (sparsopt.solve(problem, 2, method) for problem in (first, second))
        assert math.isclose(a.value, b.value, rel_tol=1e-9) and (a.support == b.support).all()
        np.testing.assert_allclose(a.x, b.x * repeated, rtol=1e-5, atol=1e-9)
        assert a.lower_bound <= truth(first, 2) + 1e-12


def test_standardised_with_bounds_and_groups():
    X, eta, draws = data(2)
    y = eta + draws.standard_normal(50)
    inner = LeastSquares(X * np.arange(1.0, 8.0), y, 0.1, True)
    bounded = constrained(standardised(inner), -0.01, 0.05)
    result = sparsopt.solve(bounded, 3)
    assert (result.x >= -0.01 - 1e-15).all() and (result.x <= 0.05 + 1e-15).all()
    assert math.isclose(result.value, truth(bounded, 3), rel_tol=1e-9)
    groups = grouped(standardised(inner), LABELS)
    result = sparsopt.solve(groups, 2)
    assert math.isclose(result.value, truth(groups, 2), rel_tol=1e-9)
    with pytest.raises(MissingCapability, match="has no columns to standardise"):
        standardised(Quadratic(np.eye(2), [1.0, 1.0]))

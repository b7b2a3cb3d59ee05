"""Cox's partial likelihood against the sums of its definition, and a fit by a general solver."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.optimize import minimize

from sparsopt.errors import InvalidInput
from sparsopt.problems import Cox, cox
from tests.conftest import scaled
from tests.worked import everything

seeds = st.integers(0, 2**32 - 1)


def survival(seed, n=15, columns=4):
    """Few distinct times, so that there are ties of events with events and with censored rows."""
    draws = np.random.default_rng(seed)
    X, event = draws.standard_normal((n, columns)), draws.random(n) < 0.6
    event[0] = True
    return X, draws.integers(1, 7, n).astype(float), event, draws.random(n) + 0.2


def definition(w, X, time, event, s):
    """-sum over events of s_i (z_i - log of the sum over those at risk), by a loop."""
    z, total = X @ w, 0.0
    for i in np.flatnonzero(event):
        at_risk = time >= time[i]
        total -= s[i] * (z[i] - math.log(s[at_risk] @ np.exp(z[at_risk])))
    return total / s.sum()


@given(seeds)
def test_value_gradient_and_hessian_are_those_of_the_definition(seed):
    X, time, event, s = survival(seed)
    problem = Cox(X, time, event, 0.2, s)
    w, v = np.random.default_rng(seed).standard_normal((2, 4))
    assert math.isclose(problem.value(w), definition(w, X, time, event, s) + 0.1 * w @ w, rel_tol=1e-10)
    gradient, H = 0.2 * w, 0.2 * np.eye(4)
    for i in np.flatnonzero(event):
        at_risk = time >= time[i]
        chance = s[at_risk] * np.exp(X[at_risk] @ w)
        chance /= chance.sum()
        mean = chance @ X[at_risk]
        gradient += s[i] / s.sum() * (mean - X[i])
        H += s[i] / s.sum() * ((X[at_risk] - mean).T * chance) @ (X[at_risk] - mean)
    np.testing.assert_allclose(problem.gradient(w), gradient, rtol=1e-8, atol=1e-11)
    np.testing.assert_allclose(problem.hessian(w), H, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(problem.hessian_product(w, v), H @ v, rtol=1e-8, atol=1e-10)
    assert (np.diagonal(H) <= problem.curvature() * (1 + 1e-12)).all()
    assert np.linalg.eigvalsh(H)[-1] <= problem.smoothness() * (1 + 1e-12)
    assert problem.floor() <= problem.value(w) - 0.1 * w @ w and problem.intercept(w) == 0.0


@given(seeds, st.sampled_from((np.asarray, np.float32, sparse.csc_matrix)), st.sampled_from((0.0, 1e-17, 0.1)))
def test_constants_are_rounded_up(seed, form, ridge):
    """The formulas in fractions of the same numbers, and those of the Hessian of one event that two rows are at risk
    of: chances of a half reach range^2 / 4."""
    X, time, event, s = survival(seed)
    X = X * 10.0 ** np.random.default_rng(seed).uniform(-8, 8, X.shape[1])
    X = X.astype(np.float32).astype(float) if form is np.float32 else X
    problem = Cox(form(X), time, event, ridge, s)
    events = sum(Fraction(s[i]) for i in np.flatnonzero(event)) / sum(map(Fraction, s))
    ranges = [max(column) - min(column) for column in ([Fraction(x) for x in column] for column in X.T)]
    curvature = problem.curvature()
    assert all(Fraction(h) >= events * r * r / 4 + Fraction(ridge) for h, r in zip(curvature, ranges, strict=True))
    assert (curvature <= (np.ptp(X, axis=0) ** 2 / 4 + ridge) * (1 + 1e-6)).all()  # and not far up
    pair = Cox(form(X[:2]), np.array([1.0, 2.0]), np.array([True, False]), ridge)
    differences = [(Fraction(a) - Fraction(b)) ** 2 / 8 for a, b in X[:2].T]
    assert Fraction(pair.smoothness()) >= sum(differences) + Fraction(ridge)
    assert all(Fraction(h) >= d + Fraction(ridge) for h, d in zip(pair.curvature(), differences, strict=True))


@given(seeds, st.floats(0.02, 0.9), st.sampled_from([1.0, 400.0]))
def test_sparse_columns_with_few_entries_are_those_of_the_definition(seed, density, size):
    """Where no column has an entry the running sums stand still; far out they are computed as logarithms."""
    X, time, event, s = survival(seed, 40, 5)
    draws = np.random.default_rng((seed, 1))
    X = np.where(draws.random(X.shape) < density, X, 0.0)
    X[:, 3] = 0.0  # no entry at all
    w, v = draws.standard_normal((2, 5))
    w *= size
    dense, thin = Cox(X, time, event, 0.2, s), Cox(sparse.csc_array(X), time, event, 0.2, s)
    if size == 1.0:
        assert math.isclose(thin.value(w), definition(w, X, time, event, s) + 0.1 * w @ w, rel_tol=1e-9)
    for one, two in ((dense.value(w), thin.value(w)), (dense.gradient(w), thin.gradient(w))):
        np.testing.assert_allclose(two, one, rtol=1e-9, atol=1e-9 * size)
    np.testing.assert_allclose(thin.hessian(w), dense.hessian(w), rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(thin.hessian_product(w, v), thin.hessian(w) @ v, rtol=1e-7, atol=1e-8)


@given(seeds, st.floats(200.0, 400.0))
def test_sums_and_logarithms_of_sums_agree(seed, spread):
    """On both sides of where the one is replaced by the other."""
    X, time, event, s = survival(seed)
    z = X @ (w := np.random.default_rng(seed).standard_normal(4))
    w *= spread / (z.max() - z.min() + 1e-9)
    problem = Cox(X, time, event, 0.0, s)
    with pytest.MonkeyPatch.context() as patch:
        found = []
        for safe in (0.0, 600.0):
            patch.setattr(cox, "SAFE", safe)
            found.append((problem.value(w), problem.gradient(w), problem.hessian(w)))
    for one, two in zip(*found, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-10)


@given(seeds)
@settings(max_examples=scaled(20))
def test_the_fit_is_the_one_of_a_general_solver(seed):
    X, time, event, s = survival(seed, 30)
    problem = Cox(X, time, event, 0.05, s)
    x, value = problem.minimise_on(everything(problem))
    found = minimize(lambda w: definition(w, X, time, event, s) + 0.025 * w @ w, np.zeros(4), method="BFGS")
    assert value <= found.fun + 1e-12
    np.testing.assert_allclose(x, found.x, atol=1e-4)


@given(seeds)
def test_order_of_rows_and_units_of_time_do_not_matter(seed):
    X, time, event, s = survival(seed)
    draws = np.random.default_rng(seed)
    order, w = draws.permutation(15), draws.standard_normal(4)
    first, second = Cox(X, time, event, 0.0, s), Cox(X[order], np.exp(time[order]), event[order], 0.0, s[order])
    assert math.isclose(first.value(w), second.value(w), rel_tol=1e-12)
    np.testing.assert_allclose(first.gradient(w), second.gradient(w), rtol=1e-9, atol=1e-12)
    shifted = Cox(X + 100.0, time, event, 0.0, s)
    assert math.isclose(first.value(w), shifted.value(w), rel_tol=1e-9)


@given(seeds, st.sampled_from([1.0, 10.0]))
def test_rounding_bounds_the_difference_to_long_doubles(seed, size):
    X, time, event, s = survival(seed)
    problem, w = Cox(X, time, event, 0.2, s), size * np.random.default_rng(seed).standard_normal(4)
    A, z = X.astype(np.longdouble), X.astype(np.longdouble) @ w
    value, gradient = np.longdouble(0.1) * (w @ w), np.longdouble(0.2) * w
    for i in np.flatnonzero(event):
        at_risk = time >= time[i]
        chance = s[at_risk] * np.exp(z[at_risk] - z[at_risk].max())
        value += s[i] * (np.log(chance.sum()) + z[at_risk].max() - z[i]) / s.sum()
        gradient = gradient + s[i] / s.sum() * (chance / chance.sum() @ A[at_risk] - A[i])
    doubt, doubts = problem.rounding(w)
    assert abs(problem.value(w) - value) <= doubt < 1e-10 * (1 + abs(float(value)))
    assert (np.abs(problem.gradient(w) - gradient) <= doubts).all()


def test_large_coefficients_overflow_nothing():
    X, time, event, s = survival(0)
    problem = Cox(X, time, event, 0.0, s)
    for size in (1e2, 1e4):
        w = size * np.array([1.0, -1.0, 0.5, 2.0])
        z = X @ w
        linear = sum(s[i] * (z[time >= time[i]].max() - z[i]) for i in np.flatnonzero(event)) / s.sum()
        assert math.isclose(problem.value(w), linear, rel_tol=0.1)
        assert np.isfinite(problem.gradient(w)).all()


def test_bad_input_is_named():
    X = np.eye(3)
    with pytest.raises(InvalidInput, match="event is False wherever a row has weight"):
        Cox(X, [1, 2, 3], [0, 0, 0])
    with pytest.raises(InvalidInput, match="event is False wherever a row has weight"):
        Cox(X, [1, 2, 3], [1, 0, 0], sample_weight=[0, 1, 1])
    with pytest.raises(InvalidInput, match="event has entries beside 0 and 1"):
        Cox(X, [1, 2, 3], [0, 2, 1])
    with pytest.raises(InvalidInput, match="time has 2 entries for 3 rows"):
        Cox(X, [1, 2], [0, 1, 1])


def test_it_does_not_claim_an_intercept():
    assert repr(Cox(np.eye(3), [1, 2, 3], [0, 1, 1], 0.5)) == "Cox(n=3, p=3, ridge=0.5)"

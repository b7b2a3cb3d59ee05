"""One battery over the whole catalogue: every method on every loss; a new method gets its tests for one row.

Closed forms are in test_catalogue_closed_forms.py, what single entries promise in test_catalogue_entries.py, the
theorems in test_theorems.py.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest

from sparsopt import catalogue
from sparsopt.catalogue import METHODS
from sparsopt.exact import enumerate_supports
from sparsopt.method import run
from sparsopt.moves import Gradient
from sparsopt.problems import LeastSquares, Logistic, Quadratic
from sparsopt.result import Status
from tests.battery import (
    DESCENDS,
    DESCENDS_ON_QUADRATICS,
    EXACT_SIZE,
    LOSSES,
    PROMISES,
    REFITTED,
    SCALE_FREE,
    K,
    N,
    P,
    data,
    every_loss,
    every_method,
    least_squares,
    method_named,
    quadratic,
    solved,
    started,
)
from tests.conftest import scaled


@every_method
@every_loss
def test_size_and_support(name, loss):
    for seed in range(scaled(4)):
        problem = LOSSES[loss](*data(seed))
        for k in (1, K, P - 1):
            result = solved(name, problem, k, seed)
            size = int(result.support.sum())
            assert size <= k and (name not in EXACT_SIZE or size == k)
            assert (result.x[~result.support] == 0).all() and np.isfinite(result.x).all()
            assert result.status is not Status.NOT_FINITE


@every_method
@every_loss
def test_descent(name, loss):
    """f at the end of the rounds: never up (and strictly down in each accepted swap)."""
    if name not in DESCENDS | (DESCENDS_ON_QUADRATICS if loss != "logistic" else set()):
        pytest.skip("not promised")
    for seed in range(scaled(5)):
        problem = LOSSES[loss](*data(seed))
        what = method_named(name, K, problem)
        ends = []

        def save(state, trace, problem=problem, ends=ends):
            if state.phase == 0:  # a round is over, and its judge has spoken
                ends.append(problem.value(state.x))

        run(what, problem, problem.start(seed), save=save)
        values = np.array([problem.value(np.zeros(P)), *ends])
        assert (np.diff(values) <= 1e-12 * np.abs(values).max()).all()


@every_method
@every_loss
def test_the_last_refit_is_the_minimiser_on_its_support(name, loss):
    if name not in REFITTED:
        pytest.skip("keeps other weights")
    for seed in range(scaled(5)):
        problem = LOSSES[loss](*data(seed))
        result = solved(name, problem)
        assert problem.value(result.x) == pytest.approx(problem.minimise_on(result.support, None)[1], rel=1e-9)
        assert result.value == pytest.approx(problem.value(result.x), rel=1e-12)


@every_method
@every_loss
def test_no_method_beats_enumeration(name, loss):
    for seed in range(scaled(3)):
        problem = LOSSES[loss](*data(seed))
        best = best_pair(loss, seed)
        assert problem.value(solved(name, problem, 2).x) >= best - 1e-9 * abs(best)


@functools.cache
def best_pair(loss, seed):
    return enumerate_supports(LOSSES[loss](*data(seed)), 2)[1]


@every_method
@every_loss
def test_order_of_the_columns(name, loss):
    """A permutation of the columns permutes the answer (draws are by position, so not the random ones)."""
    if name == "randomised":
        pytest.skip("draws by position")
    for seed in range(scaled(5)):
        X, y, labels = data(seed)
        order = np.random.default_rng(seed).permutation(P)
        plain = solved(name, LOSSES[loss](X, y, labels))
        permuted = solved(name, LOSSES[loss](X[:, order], y, labels))
        np.testing.assert_array_equal(permuted.support, plain.support[order])
        np.testing.assert_allclose(permuted.x, plain.x[order], rtol=1e-6, atol=1e-7)


@every_method
@every_loss
def test_signs_of_the_columns(name, loss):
    for seed in range(scaled(5)):
        X, y, labels = data(seed)
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], P)
        plain, flipped = (solved(name, LOSSES[loss](X * s, y, labels)) for s in (np.ones(P), signs))
        np.testing.assert_array_equal(flipped.support, plain.support)
        np.testing.assert_allclose(flipped.x, plain.x * signs, rtol=1e-6, atol=1e-7)


@every_method
@pytest.mark.parametrize("loss", ["squares", "quadratic"])
@pytest.mark.parametrize("scale", [2.0**-20, 2.0**20])
def test_scale_of_the_target(name, loss, scale):
    """y -> a y scales the answer (a a power of two: to the bit, but for where a factorisation rounds)."""
    X, y, labels = data(0)
    plain, big = solved(name, LOSSES[loss](X, y, labels)), solved(name, LOSSES[loss](X, y * scale, labels))
    np.testing.assert_array_equal(big.support, plain.support)
    np.testing.assert_allclose(big.x, plain.x * scale, rtol=1e-9, atol=1e-12 * scale)


@every_method
@pytest.mark.parametrize("scale", [2.0**-20, 2.0**20])
def test_scale_of_the_objective(name, scale):
    """a f has the same minimisers, and every default step and rule notices: none has units."""
    X, y, _ = data(1)
    H, c = X.T @ X / N, X.T @ y / N
    plain, big = solved(name, Quadratic(H, c)), solved(name, Quadratic(scale * H, scale * c))
    np.testing.assert_array_equal(big.support, plain.support)
    np.testing.assert_allclose(big.x, plain.x, rtol=1e-9)


@pytest.mark.parametrize("name", sorted(SCALE_FREE))
@pytest.mark.parametrize("loss", ["quadratic", "logistic"])
def test_scale_of_the_columns(name, loss):
    """Rules by gain do not see the units of a column. (With `Gradient` they do: see below.)"""
    for seed in range(scaled(5)):
        X, y, labels = data(seed)
        units = 2.0 ** np.random.default_rng(seed).integers(-8, 9, P)

        def make(X, y=y, labels=labels):
            return quadratic(X, y, labels) if loss == "quadratic" else Logistic(X, labels)  # a ridge has units

        plain, scaled_ = solved(name, make(X)), solved(name, make(X * units))
        np.testing.assert_array_equal(scaled_.support, plain.support)
        np.testing.assert_allclose(scaled_.x * units, plain.x, rtol=1e-4, atol=1e-6)


def test_the_gradient_rule_sees_units():
    X, y, _ = data(0)
    units = np.ones(P)
    rule = catalogue.omp(1, by=Gradient())
    first = int(np.flatnonzero(run(rule, *started(LeastSquares(X, y))).support)[0])
    units[(first + 1) % P] = 1e6
    assert not run(rule, *started(LeastSquares(X * units, y))).support[first]


@every_method
def test_same_seed_same_run(name):
    problem = least_squares(*data(2))
    one, two = solved(name, problem, seed=3), solved(name, problem, seed=3)
    np.testing.assert_array_equal(one.x, two.x)
    assert [repr(row) for row in one.trace] == [repr(row) for row in two.trace]


@every_method
def test_entries_say_where_they_come_from(name):
    made, entry = METHODS[name](3, quadratic(*data(0))), getattr(catalogue, name.replace("-", "_"))
    assert made.name == name and made.source and entry.__doc__


def test_every_method_has_its_row():
    """In tests/battery.py: what it promises."""
    assert set(PROMISES) == set(METHODS)

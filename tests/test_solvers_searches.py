"""Searches around `run` and penalised paths: identities, enumeration, scikit-learn, equivariance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sparsopt
from sparsopt import catalogue
from sparsopt.errors import InvalidInput, MissingCapability
from sparsopt.exact import enumerate_supports
from sparsopt.method import run
from sparsopt.mixed_integer import MixedInteger
from sparsopt.penalised import CoordinateDescent, Firm, Hard, LassoPath, Soft
from sparsopt.problems import LeastSquares, Logistic, Quadratic
from sparsopt.result import Status
from sparsopt.searches import Arht, BeamSearch, IteratedLocalSearch
from sparsopt.solvers import SOLVERS, solve
from tests.conftest import scaled
from tests.test_solvers_methods import quadratic

P, K = 9, 3
draws = settings(max_examples=scaled(20))
seeds = given(st.integers(0, 10**6))
SEARCHES = (BeamSearch(4), IteratedLocalSearch(4), Arht(4))
PENALISED = (CoordinateDescent(), CoordinateDescent(Soft(), swaps=0), CoordinateDescent(Firm()), LassoPath())
every = pytest.mark.parametrize("solver", (*SEARCHES, *PENALISED), ids=lambda s: repr(s)[:40])


@every
def test_sizes_supports_and_enumeration(solver):
    for seed in range(scaled(5) // 2):
        problem = quadratic(seed)
        for k in (1, K, P - 1):
            result = solve(problem, k, method=solver, seed=seed)
            assert result.support.sum() == k and not result.x[~result.support].any()
            assert result.method == solver and result.seconds > 0
            best = enumerate_supports(problem, k)[1]
            assert result.value >= best - 1e-9 * abs(best)
            assert result.value == pytest.approx(problem.minimise_on(result.support, None)[1], rel=1e-9)


@every
def test_order_and_units_of_the_columns(solver):
    """Rescaled and permuted columns, rescaled and permuted answers.

    Random searches draw by position, and cyclic descent on a penalty that is not convex depends on the order.
    """
    for seed in range(scaled(5)):
        problem, rng = quadratic(seed), np.random.default_rng(seed)
        plain = solve(problem, K, method=solver)
        units = 2.0 ** rng.integers(-4, 5, P)
        if not isinstance(solver, Arht):  # its regulariser has units
            scaled_ = solve(Quadratic(problem.H * units * units[:, None], problem.c * units), K, method=solver)
            np.testing.assert_array_equal(scaled_.support, plain.support)
            np.testing.assert_allclose(scaled_.x * units, plain.x, rtol=1e-6, atol=1e-9)
        if not isinstance(solver, (IteratedLocalSearch, Arht)) and solver not in (PENALISED[0], PENALISED[2]):
            order = rng.permutation(P)
            permuted = solve(Quadratic(problem.H[np.ix_(order, order)], problem.c[order]), K, method=solver)
            np.testing.assert_array_equal(permuted.support, plain.support[order])


@pytest.mark.parametrize("solver", SEARCHES, ids=repr)
def test_searches_take_any_loss_and_the_seed_decides(solver):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((90, P))
    problem = Logistic(X, X[:, 2] - X[:, 6] + rng.logistic(size=90) / 3 > 0, ridge=0.02)
    one, two = (solve(problem, 2, method=solver, seed=7) for _ in range(2))
    np.testing.assert_array_equal(one.x, two.x)
    assert np.flatnonzero(one.support).tolist() == [2, 6]
    assert SOLVERS[solver.name].name == solver.name


# ---- beam search ---------------------------------------------------------------------------------------------------


@draws
@seeds
def test_a_beam_of_width_one_is_ols(seed):
    problem = quadratic(seed)
    ours, ols = BeamSearch(1).solve(problem, 4, 0), run(catalogue.ols(4), problem, problem.start(0))
    np.testing.assert_array_equal(ours.support, ols.support)
    np.testing.assert_allclose(ours.x, ols.x, rtol=1e-9)


@draws
@seeds
def test_a_beam_as_wide_as_everything_is_exact(seed):
    problem = quadratic(seed, p=6)
    best = enumerate_supports(problem, 3)[1]
    assert BeamSearch(20).solve(problem, 3, 0).state.value == pytest.approx(best, rel=1e-7, abs=1e-9)


def test_decoys_need_a_beam():
    """Single columns that each look better than the pair that fits exactly: OMP and swaps stay, a beam sees past."""
    X = np.eye(5)[:, :2]
    mixed = np.array([1.0, 1.0, 0.0, 0.0, 0.0]) * 0.72
    decoys = np.stack([mixed + 0.5 * np.eye(5)[2 + j] for j in range(3)], axis=1)
    problem = LeastSquares(np.hstack([X, decoys / np.linalg.norm(decoys, axis=0)]), np.array([1.0, 1.0, 0, 0, 0]))
    assert solve(problem, 2, method="omp").value > 1e-3
    assert solve(problem, 2, method=BeamSearch(5)).value < 1e-20


# ---- iterated local search, ARHT -----------------------------------------------------------------------------------


@draws
@seeds
def test_kicks_never_lose(seed):
    problem = quadratic(seed)
    swaps = run(catalogue.best_swap(K), problem, problem.start(0))
    values = [IteratedLocalSearch(kicks).solve(problem, K, 3).state.value for kicks in (0, 2, 6)]
    assert values[0] == swaps.value and values[0] >= values[1] >= values[2]


def test_kicks_find_what_swaps_miss():
    worse = found = 0
    for seed in range(scaled(60, least=60)):
        problem = quadratic(seed, p=12)
        best = enumerate_supports(problem, 4)[1]
        if run(catalogue.best_swap(4), problem, problem.start(0)).value > best + 1e-9 * abs(best):
            worse += 1
            found += IteratedLocalSearch(15).solve(problem, 4, 0).state.value <= best + 1e-9 * abs(best)
    assert worse >= 1 and found >= 0.6 * worse


@draws
@seeds
def test_arht_is_never_worse_than_its_start(seed):
    problem = quadratic(seed)
    result = Arht(5).solve(problem, K, seed)
    assert result.state.value <= run(catalogue.omp(K), problem, problem.start(0)).value
    assert result.state.value == pytest.approx(problem.minimise_on(result.support, None)[1], rel=1e-9)


@pytest.mark.parametrize("solver", SEARCHES, ids=repr)
def test_searches_take_losses_without_a_bound_on_the_curvature(solver):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((200, P)) / 2
    problem = sparsopt.Poisson(X, rng.poisson(np.exp(1 + X[:, 2] - X[:, 6])))
    assert np.flatnonzero(solve(problem, 2, method=solver).support).tolist() == [2, 6]


def test_mixed_integer_programmes_agree_with_enumeration():
    pytest.importorskip("cvxpy")
    pytest.importorskip("pyscipopt")
    for seed in range(4):
        problem = quadratic(seed)
        best = enumerate_supports(problem, K)[1]
        result = solve(problem, K, method=MixedInteger())
        assert result.value == pytest.approx(best, rel=1e-5) and result.status is Status.FINISHED
    singular = Quadratic(np.ones((3, 3)), np.ones(3))
    with pytest.raises(InvalidInput, match="give bound=M or a ridge"):
        solve(singular, 1, method=MixedInteger())
    assert solve(singular, 1, method=MixedInteger(bound=10.0)).value == pytest.approx(-0.5)


def test_impossible_settings_are_named():
    for make, what in (
        (lambda: BeamSearch(0), "width = 0"),
        (lambda: IteratedLocalSearch(strength=0), "strength = 0"),
        (lambda: CoordinateDescent(decay=1.0), "decay"),
        (lambda: Firm(1.0), "gamma"),
    ):
        with pytest.raises(InvalidInput, match=what):
            make()
    problem = Logistic(np.eye(4), [0, 1, 0, 1])
    for solver in (CoordinateDescent(), LassoPath()):
        with pytest.raises(MissingCapability, match=r"hessian_columns\(\), which Logistic"):
            sparsopt.solve(problem, 1, method=solver)


# ---- penalised paths -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threshold", [Hard(), Soft(), Firm(2.5)], ids=repr)
def test_thresholds_minimise(threshold):
    """Against a fine grid of v for (v - u)^2 / 2 + t penalty(v)."""
    v = np.linspace(-4, 4, 8001)
    for t in (0.1, 0.7):
        cost = {
            Hard: t * (v != 0),
            Soft: t * abs(v),
            Firm: np.where(abs(v) <= 2.5 * t, t * abs(v) - v**2 / 5.0, 2.5 * t * t / 2),
        }[type(threshold)]
        for u in np.linspace(-3.03, 3.01, 31):
            best = ((v - u) ** 2 / 2 + cost).min()
            found = float(threshold(u, t))
            at = {
                Hard: t * (found != 0),
                Soft: t * abs(found),
                Firm: t * abs(found) - found**2 / 5.0 if abs(found) <= 2.5 * t else 2.5 * t * t / 2,
            }[type(threshold)]
            assert (found - u) ** 2 / 2 + at <= best + 1e-6
            assert (found != 0) == (threshold.level(u) > t)


def test_soft_paths_are_the_lasso():
    """Unit columns, the same penalty: the weights of scikit-learn's coordinate descent."""
    linear = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 12)) + 0.5 * rng.standard_normal((60, 1))
    X *= np.sqrt(60) / np.linalg.norm(X, axis=0)
    y = X[:, :4] @ [1.0, -1.0, 2.0, 0.5] + 0.2 * rng.standard_normal(60)
    problem = LeastSquares(X, y)
    top = float(np.abs(X.T @ y).max() / 60)
    path = list(CoordinateDescent(Soft(), decay=0.5, levels=6).path(problem.open(), lambda x: False))
    assert not path[0].any()
    alpha, compared = top, 0
    for x in path[1:]:
        g = np.abs(X.T @ (y - X @ x) / 60)
        alpha = float(g[x != 0].mean())  # stationarity: |g_j| = t on the support
        theirs = linear.Lasso(alpha=alpha, fit_intercept=False, tol=1e-12, max_iter=100_000).fit(X, y).coef_
        np.testing.assert_allclose(x, theirs, atol=1e-6)
        compared += 1
    assert compared == 5


@draws
@seeds
def test_points_of_a_path_are_coordinatewise_minima(seed):
    problem = quadratic(seed)
    root = np.sqrt(np.diagonal(problem.H))
    for threshold in (Hard(), Soft(), Firm()):
        solver = CoordinateDescent(threshold, decay=0.7, levels=8)
        before = np.inf
        for x in solver.path(problem.open(), lambda x: False):
            u = x * root - problem.gradient(x) / root
            inside = x != 0
            if not inside.any():
                continue
            level = float(threshold.level(u[inside]).min())  # the penalty t lies between these two
            assert threshold.level(u[~inside]).max(initial=0.0) <= level * (1 + 1e-6)
            before = level
        assert np.isfinite(before)


def test_swaps_after_the_path_help():
    gains = []
    for seed in range(scaled(30)):
        problem = quadratic(seed)
        plain = CoordinateDescent(swaps=0).solve(problem, K, 0).state.value
        gains.append(plain - CoordinateDescent().solve(problem, K, 0).state.value)
    assert min(gains) >= -1e-12 and max(gains) > 1e-3


def test_lasso_by_library_and_by_coordinate_descent_agree():
    same = 0
    for seed in range(scaled(20)):
        problem = quadratic(seed)
        ours = CoordinateDescent(Soft(), decay=0.98, levels=2000, swaps=0).solve(problem, K, 0)
        same += bool((ours.support == LassoPath().solve(problem, K, 0).support).all())
    assert same >= 0.9 * scaled(20)


def test_constant_columns_never_enter_a_path():
    X = np.random.default_rng(0).standard_normal((30, 5))
    X[:, 1] = 0.0
    problem = LeastSquares(X, X[:, 0] + X[:, 3])
    for solver in PENALISED:
        assert np.flatnonzero(solver.solve(problem, 2, 0).support).tolist() == [0, 3]

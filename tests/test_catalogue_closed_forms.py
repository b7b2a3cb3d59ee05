"""The catalogue where the answer is known: diagonal Hessians, noiseless signals, degenerate data, scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsopt.catalogue import METHODS
from sparsopt.exact import enumerate_supports
from sparsopt.method import run
from sparsopt.problems import LeastSquares, Logistic, Quadratic
from tests.battery import (
    EXACT_SIZE,
    REFITTED,
    SCALE_FREE,
    K,
    N,
    P,
    data,
    quadratic,
    solved,
    started,
)
from tests.conftest import scaled


@settings(max_examples=scaled(30))
@given(st.integers(0, 10**6), st.integers(1, 7))
def test_identity_hessian(seed, k):
    """H = I: the answer of every selecting method is the k largest |c|, with weights c."""
    c = np.random.default_rng(seed).standard_normal(8)
    problem = Quadratic(np.eye(8), c)
    answer = np.where(np.isin(np.arange(8), np.argsort(-np.abs(c))[:k]), c, 0.0)
    for name in sorted(EXACT_SIZE - {"iht-with-feedback"} | {"forward-greedy"}):
        np.testing.assert_allclose(solved(name, problem, k).x, answer, rtol=1e-12, atol=1e-15)


@settings(max_examples=scaled(40))
@given(st.integers(0, 10**6), st.integers(1, 7))
def test_diagonal_hessian(seed, k):
    """The gains are c^2 / 2h: rules by gain find the best support, whatever the scales."""
    rng = np.random.default_rng(seed)
    h, c = 2.0 ** rng.integers(-6, 7, 8), rng.standard_normal(8)
    best = np.isin(np.arange(8), np.argsort(-(c**2) / h)[:k])
    for name in sorted(SCALE_FREE - {"iht-with-feedback"}):  # which need not settle
        result = solved(name, Quadratic(np.diag(h), c), k)
        np.testing.assert_array_equal(result.support, best)
        np.testing.assert_allclose(result.x, np.where(best, c / h, 0), rtol=1e-12)


def test_noiseless_signals_are_recovered():
    """Gaussian X with many rows: every fully corrective method and IHT find the true support."""
    for seed in range(scaled(10)):
        rng = np.random.default_rng([9, seed])
        X = rng.standard_normal((150, 30))
        truth = np.zeros(30)
        truth[rng.choice(30, 3, replace=False)] = rng.choice([-1, 1], 3) * rng.uniform(1, 2, 3)
        problem = LeastSquares(X, X @ truth)
        for name in sorted(REFITTED | {"iht", "niht"}):
            found = run(METHODS[name](3, problem), *started(problem)).x
            np.testing.assert_allclose(found, truth, atol=1e-6)


def test_one_coordinate_is_solved_exactly():
    """k = 1: the best single coordinate has the largest gain, so OMP is optimal."""
    for seed in range(scaled(10)):
        problem = quadratic(*data(seed))
        assert solved("omp", problem, 1).value == pytest.approx(enumerate_supports(problem, 1)[1], rel=1e-12)


@settings(max_examples=scaled(20))
@given(st.integers(0, 10**6), st.integers(1, 5))
def test_greedy_methods_are_nested(seed, k):
    """OMP with k + 1 adds one coordinate to OMP with k; backward elimination with k takes one from k + 1."""
    problem = quadratic(*data(seed % 50))
    for name in ("omp", "fully-corrective", "backward-elimination"):
        assert (solved(name, problem, k).support <= solved(name, problem, k + 1).support).all()


def test_degenerate_data():
    """Zero, constant and repeated columns, a target of zeros: exact sizes, finite weights."""
    X, _, labels = data(0)
    X = X.copy()
    X[:, 0], X[:, 1], X[:, 3] = 0.0, 1.0, X[:, 2]
    targets = (X[:, 2], np.zeros(N), np.ones(N))
    problems = [LeastSquares(X, y, intercept=free) for y in targets for free in (False, True)]
    for problem in [*problems, Logistic(X, labels, ridge=0.01), LeastSquares(np.zeros((4, P)), np.ones(4))]:
        for name in METHODS:
            result = solved(name, problem)
            assert result.support.sum() <= K and np.isfinite(result.x).all()
            assert (result.x[~result.support] == 0).all()
            if name in EXACT_SIZE - {"foba", "cosamp"}:  # these two undo what gains nothing
                assert result.support.sum() == K
            assert problem.value(result.x) <= problem.value(np.zeros(P)) + 1e-12 or name in (
                "randomised",
                "iht-with-feedback",
            )


def test_omp_agrees_with_scikit_learn():
    """Normalised columns, non-degenerate data: same support in at least 99.5 % of cases, weights to 1e-10."""
    linear = pytest.importorskip("sklearn.linear_model")
    cases, same = scaled(200), 0
    for seed in range(cases):
        rng = np.random.default_rng([11, seed])
        X = rng.standard_normal((50, 80)) + 0.4 * rng.standard_normal((50, 1))
        X /= np.linalg.norm(X, axis=0)
        y = X @ (rng.standard_normal(80) * (rng.random(80) < 0.1)) + 0.05 * rng.standard_normal(50)
        theirs = linear.orthogonal_mp(X, y, n_nonzero_coefs=8)
        ours = solved("omp", LeastSquares(X, y), 8)
        if np.array_equal(theirs != 0, ours.support):
            same += 1
            np.testing.assert_allclose(ours.x, theirs, rtol=0, atol=1e-10 * np.abs(theirs).max())
    assert same >= 0.995 * cases

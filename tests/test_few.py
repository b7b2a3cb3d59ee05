"""Few supports: the best of all of them, against enumeration with a fit on each."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsopt.exact import enumerate_supports
from sparsopt.portfolio import few
from sparsopt.problems import LeastSquares, Logistic, Quadratic
from sparsopt.solvers import solve
from tests.conftest import scaled

SEEDS, RIDGES = st.integers(0, 10**6), st.sampled_from([0.0, 1e-3, 0.5])


def design(seed: int, n: int, p: int, messy: bool) -> tuple[np.ndarray, np.ndarray]:
    """Columns of a common factor and of several scales; messy: with copies, multiples, constants and sums."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) + rng.standard_normal((n, 1))
    if messy:
        X[:, rng.integers(p)] = X[:, rng.integers(p)]
        X[:, rng.integers(p)] = -2 * X[:, rng.integers(p)]
        X[:, rng.integers(p)] = rng.choice([0.0, 1.0])
        X[:, rng.integers(p)] = X[:, 0] + X[:, -1]
    return X * 10.0 ** rng.integers(-3, 4, p), X @ rng.standard_normal(p) + 2 * rng.standard_normal(n)


def check(f: Any, k: int) -> None:
    """`auto` is at the truth, and no larger than allowed."""
    result, truth = solve(f, k), enumerate_supports(f, k)[1]
    assert np.count_nonzero(result.x) <= k
    assert result.value <= truth + 1e-7 * (f.value(np.zeros(f.p)) - truth) + 1e-12


@given(SEEDS, st.integers(4, 30), st.integers(2, 9), st.integers(1, 8), RIDGES, st.booleans(), st.booleans())
@settings(max_examples=scaled(100))
def test_least_squares(seed: int, n: int, p: int, k: int, ridge: float, intercept: bool, messy: bool) -> None:
    X, y = design(seed, n, p, messy)
    weights = np.random.default_rng(seed).integers(1, 4, n).astype(float)
    k = min(k, p - 1)
    check(LeastSquares(X, y, ridge=ridge, intercept=intercept, sample_weight=weights), k)


@given(SEEDS, st.integers(2, 9), st.integers(1, 8))
@settings(max_examples=scaled(40))
def test_the_formula_on_a_quadratic(seed: int, p: int, k: int) -> None:
    """The support itself, without the search around it."""
    rng = np.random.default_rng(seed)
    A, k = rng.standard_normal((12, p)) + rng.standard_normal((12, 1)), min(k, p - 1)
    H, c = A.T @ A, A.T @ rng.standard_normal(12)
    S, truth = few.best(H, c, k), enumerate_supports(Quadratic(H, c), k)[1]
    assert S.size <= k and -0.5 * c[S] @ np.linalg.solve(H[np.ix_(S, S)], c[S]) == pytest.approx(truth, rel=1e-8)


def test_ties() -> None:
    """Every support is as good as every other, and each column has a copy."""
    for k in (1, 2, 3, 4):
        f = Quadratic(np.kron(np.eye(4), np.ones((2, 2))), np.ones(8))
        assert solve(f, k).value == pytest.approx(-k / 2) and few.best(f.H, f.c, k).size <= k


@given(SEEDS, st.integers(2, 7), st.integers(1, 6), st.sampled_from([1e-3, 0.5]), st.booleans(), st.booleans())
@settings(max_examples=scaled(12))
def test_logistic(seed: int, p: int, k: int, ridge: float, intercept: bool, messy: bool) -> None:
    X, y = design(seed, 24, p, messy)
    k = min(k, p - 1)
    X = X / np.maximum(np.abs(X).max(axis=0), 1e-9)
    if few.fits(p, k):
        check(Logistic(X, y > np.median(y), ridge=ridge, intercept=intercept), k)


def test_how_few() -> None:
    assert few.quadratic(20, 3) and few.quadratic(100, 2) and not few.quadratic(65, 6)
    for p in range(2, 101):
        for k in range(1, p):
            assert few.quadratic(p, k) == (math.comb(p, max(k - 2, 0)) * p**2 <= few.NUMBERS)
    assert few.fits(9, 3) and not few.fits(9, 4)

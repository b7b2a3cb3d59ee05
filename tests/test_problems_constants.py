"""Smoothness, strong convexity and rounding: bounds on the eigenvalues and on the sums that are exact."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsopt.problems import LeastSquares, Quadratic
from sparsopt.problems import spectrum as spectrum_module
from sparsopt.problems.spectrum import lanczos_bound, restricted_extremes
from tests.conftest import scaled
from tests.problems import data, family, seeds, shapes


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

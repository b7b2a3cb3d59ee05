"""Restricted eigenvalues are intervals that hold: against exact rational arithmetic, at any scale and conditioning."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from sparsopt.problems import LeastSquares, Logistic, Quadratic, spectrum
from tests.conftest import scaled

KINDS = ("plain", "nearly equal", "equal", "huge", "tiny", "denormal", "scales", "rank one", "shifted")


def design(kind, rng, n, p):
    X = rng.standard_normal((n, p))
    match kind:
        case "nearly equal":
            X[:, 0] = X[:, -1] * (1 + 10.0 ** rng.uniform(-16, -6) * rng.standard_normal(n))
        case "equal":
            X[:, 0] = X[:, -1]
        case "huge" | "tiny" | "denormal":
            X *= {"huge": 1e140, "tiny": 1e-150, "denormal": 1e-160}[kind]
        case "scales":
            X *= 10.0 ** rng.uniform(-100, 100, p)
        case "rank one":
            X = np.outer(X[:, 0], X[0])
        case "shifted":
            X += 1e7
    return X


def gram(X, ridge, centred):
    """X'X / n + ridge, of centred columns, exactly."""
    n, p = X.shape
    columns = [[Fraction(float(x)) for x in column] for column in X.T]
    if centred:
        columns = [[x - sum(column) / n for x in column] for column in columns]
    bend = [[sum(map(Fraction.__mul__, a, b)) / n for b in columns] for a in columns]
    return [[bend[i][j] + (Fraction(ridge) if i == j else 0) for j in range(p)] for i in range(p)]


def positive(G):
    """Whether a symmetric matrix of fractions is positive semi-definite, by elimination."""
    if not G:
        return True
    pivot, row = G[0][0], G[0][1:]
    if pivot <= 0:
        return pivot == 0 and not any(row) and positive([r[1:] for r in G[1:]])
    return positive([[x - row[i] * y / pivot for x, y in zip(r[1:], row, strict=True)] for i, r in enumerate(G[1:])])


def holds(G, s, low, high):
    """low <= every eigenvalue of every principal submatrix of order s <= high."""
    low, high = Fraction(float(low)), Fraction(float(high))
    for S in itertools.combinations(range(len(G)), s):
        above = [[G[i][j] - (low if i == j else 0) for j in S] for i in S]
        below = [[(high if i == j else 0) - G[i][j] for j in S] for i in S]
        if not (positive(above) and positive(below)):
            return False
    return True


def interval(problem, s):
    with np.errstate(all="ignore"):
        return problem.strong_convexity(s), problem.smoothness(s)


@settings(max_examples=scaled(150))
@given(
    st.sampled_from(KINDS),
    st.sampled_from(("dense", "single", "sparse")),
    st.integers(0, 2**32 - 1),
    st.sampled_from((0.0, 1e-12, 1e-3)),
    st.booleans(),
    st.booleans(),
)
def test_intervals_hold_for_least_squares(kind, form, seed, ridge, centred, discs):
    rng = np.random.default_rng(seed)
    n, p = int(rng.integers(1, 7)), int(rng.integers(1, 5))
    if form == "single" and kind in ("huge", "tiny", "denormal", "scales"):
        kind = "plain"
    X = design(kind, rng, n, p)
    X = {"dense": np.asarray, "single": np.float32, "sparse": sparse.csc_matrix}[form](X)
    problem = LeastSquares(X, rng.standard_normal(n), ridge, centred)
    exact = gram(X.toarray() if form == "sparse" else X, ridge, centred)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spectrum, "MOST_SUBSETS", 0 if discs else spectrum.MOST_SUBSETS)
        for s in range(1, p + 1):
            assert holds(exact, s, *interval(problem, s))
        assert holds(exact, p, problem.strong_convexity(), problem.smoothness())


@settings(max_examples=scaled(60))
@given(st.sampled_from(KINDS), st.sampled_from(("dense", "single", "sparse")), st.integers(0, 2**32 - 1), st.booleans())
def test_bounds_of_large_designs_hold(kind, form, seed, centred):
    """Beyond the order to which eigenvalues are computed, and in units of curvature 1."""
    rng = np.random.default_rng(seed)
    n, p = int(rng.integers(1, 7)), int(rng.integers(1, 5))
    kind = "plain" if form == "single" and kind in ("huge", "tiny", "denormal", "scales") else kind
    X = {"dense": np.asarray, "single": np.float32, "sparse": sparse.csc_matrix}[form](design(kind, rng, n, p))
    exact = gram(X.toarray() if form == "sparse" else X, 0.0, centred)
    for limit in (spectrum.EXACT, 0):
        with pytest.MonkeyPatch.context() as patch, np.errstate(all="ignore"):
            patch.setattr(spectrum, "EXACT", limit)
            problem = LeastSquares(X, rng.standard_normal(n), 0.0, centred)
            assert holds(exact, p, 0.0, problem.smoothness())
            L, h = Fraction(problem.relative_smoothness()), [Fraction(float(h)) for h in problem.curvature()]
        rest = [[(L * h[i] if i == j else 0) - exact[i][j] for j in range(p)] for i in range(p)]
        assert kind in ("denormal", "tiny", "shifted") or positive(rest)


@settings(max_examples=scaled(60))
@given(st.sampled_from(KINDS), st.integers(0, 2**32 - 1), st.booleans())
def test_intervals_hold_for_quadratics(kind, seed, discs):
    """Of H as it is given: one that rounding has left indefinite is called flat."""
    rng = np.random.default_rng(seed)
    X = design(kind, rng, 5, int(rng.integers(1, 5)))
    X *= min(1.0, 1e70 / np.abs(X).max())
    H = X.T @ X
    problem = Quadratic((H + H.T) / 2, np.ones(len(H)))
    exact = [[Fraction(float(h)) for h in row] for row in problem.H]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spectrum, "MOST_SUBSETS", 0 if discs else spectrum.MOST_SUBSETS)
        for s in range(1, len(H) + 1):
            low, high = interval(problem, s)
            assert holds(exact, s, low if low > 0 else -high, high)


@pytest.mark.parametrize("form", [np.asarray, np.float32, sparse.csc_matrix])
def test_with_more_columns_than_rows_only_the_ridge_is_left(form):
    X = form(np.random.default_rng(0).standard_normal((5, 12)))
    for ridge in (0.0, 0.1):
        assert LeastSquares(X, np.ones(5), ridge).strong_convexity() == ridge
        assert Logistic(X, np.arange(5) % 2, ridge).strong_convexity() == ridge
        assert LeastSquares(X, np.ones(5), ridge).strong_convexity(2) > ridge


def test_nothing_bends_an_empty_design():
    for X in (np.zeros((4, 3)), sparse.csc_matrix((4, 3))):
        problem = LeastSquares(X, np.ones(4))
        assert interval(problem, 2) == interval(problem, None) == (0.0, 0.0)

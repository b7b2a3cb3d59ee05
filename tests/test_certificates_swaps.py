"""One-swap optimality is proved or not claimed: against exact rational arithmetic, whatever the columns look like."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from sparsopt.catalogue import omp
from sparsopt.certificates import Certificates, swap_gain, swaps
from sparsopt.certificates.rational import Rational
from sparsopt.method import run
from sparsopt.problems import LeastSquares, Quadratic
from tests.conftest import scaled

SHAPES = ("plain", "ties", "copy", "constant", "near copy", "near sum", "two near copies")


def columns(shape, draws, n, p):
    X = draws.standard_normal((n, p))
    apart = 10.0 ** draws.uniform(-13, -3)
    match shape:
        case "ties":
            X = draws.integers(-1, 2, (n, p)).astype(float)
        case "copy":
            X[:, -1] = draws.choice([1.0, -2.0, 0.1]) * X[:, 0]
        case "constant":
            X[:, 0] = draws.choice([0.0, 0.1, 1.0])
        case "near copy" | "two near copies":
            X[:, -1] = X[:, 0] + apart * draws.standard_normal(n)
            X[:, -2] = X[:, 1] + apart * draws.standard_normal(n) if shape == "two near copies" else X[:, -2]
        case "near sum":
            X[:, -1] = X[:, 0] - X[:, 1] + apart * draws.standard_normal(n)
    match draws.integers(3):
        case 0:
            return X * 10.0 ** draws.uniform(-6.5, 6.5, p)
        case 1:
            return X + 10.0 ** draws.uniform(0, 6) * (draws.random(p) < 0.5)
    return X


class Exact:
    """Least squares in fractions: H, c with f(0) - f(x) = c'x - x'Hx/2."""

    def __init__(self, X, y, ridge, centred, s):
        rows = [[Fraction(float(x)) for x in row] for row in np.column_stack([X, y])]
        share = [Fraction(float(w)) / sum(map(Fraction, map(float, s))) for w in s]
        if centred:
            means = [sum(w * x for w, x in zip(share, column, strict=True)) for column in zip(*rows, strict=True)]
            rows = [[x - m for x, m in zip(row, means, strict=True)] for row in rows]
        p = X.shape[1]
        product = [[sum(w * row[i] * row[j] for w, row in zip(share, rows, strict=True)) for j in range(p + 1)]
                   for i in range(p + 1)]  # fmt: skip
        self.H = [[product[i][j] + (Fraction(ridge) if i == j else 0) for j in range(p)] for i in range(p)]
        self.c, self.half = [product[i][p] for i in range(p)], product[p][p] / 2

    def gained(self, x):
        x = [Fraction(float(w)) for w in x]
        curve = sum(self.H[i][j] * x[i] * x[j] for i in range(len(x)) for j in range(len(x)) if x[i] and x[j])
        return sum(c * w for c, w in zip(self.c, x, strict=True)) - curve / 2

    def best(self, S):
        """By elimination; dependent columns are passed over."""
        G = [[self.H[i][j] for j in S] + [self.c[i]] for i in S]
        gain, left = Fraction(0), list(range(len(S)))
        while left:
            i = left.pop(0)
            if G[i][i] == 0:
                continue
            gain += G[i][-1] ** 2 / G[i][i] / 2
            for a in left:
                share = G[a][i] / G[i][i]
                G[a] = [x - share * z for x, z in zip(G[a], G[i], strict=True)]
        return gain

    def to_gain(self, x, S, k):
        """The most that a refit on S, a swap, or an addition while |S| < k gains over x."""
        S, out = list(S), [j for j in range(len(self.c)) if j not in S]
        near = [S] + [[i for i in S if i != gone] + [j] for gone in S for j in out]
        near += [[*S, j] for j in out] if len(S) < k else []
        return max(map(self.best, near)) - self.gained(x)


@settings(max_examples=scaled(120))
@given(
    st.sampled_from(SHAPES),
    st.sampled_from(("dense", "single", "sparse")),
    st.integers(0, 2**32 - 1),
    st.booleans(),
    st.booleans(),
)
def test_no_claim_is_wrong(shape, form, seed, centred, weighted):
    draws = np.random.default_rng(seed)
    n, p, k = int(draws.integers(4, 14)), int(draws.integers(3, 7)), int(draws.integers(1, 4))
    X = columns(shape, draws, n, p)
    X = (
        np.where(draws.random((n, p)) < 0.5, X, 0.0)
        if form == "sparse"
        else X.astype(np.float32 if form == "single" else float)
    )
    y = X[:, :2].sum(axis=1).astype(float) + 10.0 ** draws.uniform(-6, 1) * draws.standard_normal(n)
    ridge = float(draws.choice([0.0, 0.0, 1e-10, 0.1]))
    s = draws.integers(1, 4, n) if weighted else np.ones(n)
    problem = LeastSquares(sparse.csc_matrix(X) if form == "sparse" else X, y, ridge, centred, s if weighted else None)
    exact = Exact(X, y, ridge, centred, s)
    support = np.isin(np.arange(p), draws.permutation(p)[:k])
    state = run(omp(k), problem, problem.start(0)).state
    for x, S in ((state.x, state.support), (problem.minimise_on(support)[0], support)):
        proof, most = Certificates(problem, x, S, k), exact.to_gain(x, np.flatnonzero(S), k)
        fall, left = exact.gained(x), exact.half - exact.gained(x)
        slack = Fraction(1e-9) * max(fall, 0) + Fraction(1e-13) * abs(left)
        if proof.one_swap_optimal:
            assert most <= slack * Fraction(1.000001)
        else:  # small instances are never too dear, so that nothing is withheld
            assert proof.one_swap_optimal is False and most > slack * Fraction(0.999)


@settings(max_examples=scaled(60))
@given(st.sampled_from(SHAPES), st.integers(0, 2**32 - 1), st.booleans(), st.booleans())
def test_what_a_support_gains_is_exact(shape, seed, centred, weighted):
    draws = np.random.default_rng(seed)
    n, p = int(draws.integers(2, 9)), int(draws.integers(3, 6))
    X, y, ridge = columns(shape, draws, n, p), draws.standard_normal(n), float(draws.choice([0.0, 1e-20, 0.3]))
    s = draws.integers(0, 3, n) + 1.0 / 8 if weighted else np.full(n, 0.25)
    order = draws.permutation(p)
    S, more, x = order[:2], order[2:], np.where(draws.random(p) < 0.5, draws.standard_normal(p), 0.0)
    total = sum(map(Fraction, s))
    exact = Exact(X, y, Fraction(ridge) / total, centred, s)  # in shares that sum to 1
    found = Rational.squares(X, y, s, ridge, centred)
    assert found.gained(x) == exact.gained(x) * total
    assert found.gains(S, more) == [exact.best(list(T)) * total for T in (S, *([*S, j] for j in more))]


def test_a_matrix_without_minimum_proves_nothing():
    """Taken literally, H is indefinite on {0, 1}, and f has no minimum there."""
    H = np.array([[1.0, 1.0 + 1e-15, 0.0], [1.0 + 1e-15, 1.0, 0.0], [0.0, 0.0, 1.0]])
    problem, support = Quadratic(H, np.array([3.0, 3.0, 2.0])), np.array([True, False, True])
    x = problem.minimise_on(support)[0]
    assert math.isnan(swap_gain(problem, x, support))
    assert Certificates(problem, x, support, 2).one_swap_optimal is None
    assert math.isinf(Rational.quadratic(H, problem.c).gains(np.array([0]), np.array([1]))[1])


def test_columns_come_in_blocks(monkeypatch):
    draws = np.random.default_rng(0)
    X = draws.standard_normal((20, 30)).astype(np.float32)
    X[:, 17] = X[:, 3] + 1e-5 * X[:, 4]
    problem = LeastSquares(X, X[:, 3] + draws.standard_normal(20), intercept=True)
    for k in (1, 3):
        support = np.arange(30) % 10 == 3 if k == 3 else np.arange(30) == 3
        x = problem.minimise_on(support)[0]
        whole = swap_gain(problem, x, support, additions=True)
        with monkeypatch.context() as patch:
            patch.setattr(swaps, "BLOCK", 100)
            assert swap_gain(problem, x, support, additions=True) == pytest.approx(whole, rel=1e-9)

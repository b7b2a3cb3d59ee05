"""Bounds are never above the truth, screening never loses the optimum."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsopt.branch_and_bound import Relaxation, root_bound
from sparsopt.branch_and_bound.incumbent import Incumbent
from sparsopt.branch_and_bound.sharpening import sharpened
from sparsopt.branch_and_bound.splitting import convex_after, splitting
from sparsopt.exact import enumerate_supports
from sparsopt.problems import LeastSquares, Logistic, Quadratic
from tests.conftest import scaled
from tests.proofs import fixings, instance, kinds, seeds, slack, truth


@given(kinds, seeds, st.integers(4, 8))
def test_a_bound_at_any_point_of_any_node_is_below_the_truth(kind, seed, p):
    problem, rng = instance(kind, seed, p), np.random.default_rng([seed, 1])
    k = int(rng.integers(1, p))
    inside, outside = fixings(rng, p, k)
    value, support = truth(problem, k, inside, outside)
    relaxation = Relaxation(problem, k)
    near = problem.minimise_on(support, None)[0]
    for spread in (0.0, 0.1, 10.0):
        u = near * (1 + spread * rng.standard_normal(p)) + spread * rng.standard_normal(p) * np.abs(near).max()
        assert relaxation.bound(u, inside, outside).value <= value + slack(problem)
    found = relaxation.solve(inside, outside, math.inf)
    assert found.value <= value + slack(problem)
    assert found.value >= relaxation.bound(np.zeros(p), inside, outside).value - slack(problem)


@given(kinds, seeds, st.integers(4, 8), st.floats(1e-9, 1.0))
def test_screening_keeps_every_support_below_the_target(kind, seed, p, above):
    problem, rng = instance(kind, seed, p), np.random.default_rng([seed, 2])
    k = int(rng.integers(1, p))
    inside, outside = fixings(rng, p, k)
    value, support = truth(problem, k, inside, outside)
    relaxation = Relaxation(problem, k)
    target = value + slack(problem) + above * abs(value)
    for bound in (relaxation.solve(inside, outside, target), relaxation.bound(np.zeros(p), inside, outside)):
        must, cannot = relaxation.screened(bound, inside, outside, target)
        assert not np.any(must & ~support)
        assert not np.any(cannot & support)
        assert np.all(must >= inside) and np.all(cannot >= outside)


@given(kinds, seeds, st.integers(4, 8), st.sampled_from((-1e-7, 1e-7)))
def test_screening_fixes_exactly_what_the_bound_at_the_same_point_allows(kind, seed, p, shift):
    problem, rng = instance(kind, seed, p), np.random.default_rng([seed, 6])
    k = int(rng.integers(1, p))
    inside, outside = fixings(rng, p, k)
    relaxation = Relaxation(problem, k)
    bound = relaxation.bound(rng.standard_normal(p) / np.sqrt(relaxation.curvature), inside, outside)
    free, places = ~(inside | outside), k - int(inside.sum())
    if free.sum() <= places:
        return

    def most(among, places):
        return float(np.sort(bound.t[among])[among.sum() - places :].sum()) / 2

    for j in np.flatnonzero(free):
        rest = free.copy()
        rest[j] = False
        value_in = bound.value + most(free, places) - most(rest, places - 1) - bound.t[j] / 2
        value_out = bound.value + most(free, places) - most(rest, places)
        size = abs(bound.value) + float(bound.t.max())
        for value, fixed in ((value_in, 1), (value_out, 0)):
            if value > bound.value + 1e-5 * size:
                masks = relaxation.screened(bound, inside, outside, value + shift * size)
                assert masks[fixed][j] == (shift < 0)


def test_screening_fixes_something():
    problem = LeastSquares(np.eye(6) * math.sqrt(6), np.array([5.0, 4.0, 1.0, 0.5, 0.2, 0.1]))
    relaxation, none = Relaxation(problem, 2), np.zeros(6, dtype=bool)
    target = problem.minimise_on(np.arange(6) < 2, None)[1] + 1e-6
    must, cannot = relaxation.screened(relaxation.solve(none, none, target), none, none, target)
    assert must.tolist() == [True, True, False, False, False, False]
    assert cannot.tolist() == [False, False, True, True, True, True]


@given(seeds, st.integers(2, 12))
def test_the_relaxation_is_exact_for_diagonal_hessians(seed, p):
    rng = np.random.default_rng(seed)
    problem = Quadratic(np.diag(10.0 ** rng.uniform(-3, 3, p)), rng.standard_normal(p))
    k = int(rng.integers(1, p))
    best = enumerate_supports(problem, k)[1]
    assert best - 1e-6 * abs(best) <= root_bound(problem, k) <= best + 1e-13 * abs(best)


@given(kinds, seeds, st.integers(4, 10))
def test_the_relaxation_beats_the_bound_with_the_smallest_eigenvalue(kind, seed, p):
    """Its value is that of the best u; any other u with any smaller D is no better (1 % is left on the table)."""
    problem, rng = instance(kind, seed, p), np.random.default_rng([seed, 3])
    k = int(rng.integers(1, p))
    x, value = enumerate_supports(problem, k)
    relaxation, none = Relaxation(problem, k), np.zeros(p, dtype=bool)
    at_x = relaxation.bound(x, none, none).value
    assert root_bound(problem, k, value) >= at_x - 0.0101 * (value - at_x) - 100 * slack(problem)


@given(seeds, st.integers(1, 12))
def test_what_is_split_off_leaves_a_convex_function(seed, p):
    problem = instance("correlated", seed, max(p, 2))
    H = problem.hessian_block(np.arange(problem.p))
    D = splitting(problem, H)
    assert D is not None and np.all(D > 0)
    assert np.linalg.eigvalsh(H - np.diag(D))[0] >= -1e-13 * np.trace(H)
    assert not convex_after(H, D * (1 + 1e-5) + 1.01 * np.linalg.eigvalsh(H - np.diag(D))[0], 0.0)
    assert np.all(D * np.diagonal(np.linalg.inv(H)) <= 1 + 1e-6)


def test_larger_problems_use_a_working_set():
    rng = np.random.default_rng(5)
    X = rng.standard_normal((60, 500))
    y = X[:, :4] @ np.array([3.0, -2.0, 2.0, 1.5]) + 0.3 * rng.standard_normal(60)
    for problem in (LeastSquares(X, y, 1.0), LeastSquares(X.astype(np.float32), y, 1.0), Logistic(X, y > 0, 0.1)):
        support = np.arange(500) < 4
        value = problem.minimise_on(support, None)[1]
        relaxation, none = Relaxation(problem, 4), np.zeros(500, dtype=bool)
        found = relaxation.solve(none, none, value)
        assert found.value <= value
        entire = Relaxation(problem, 4)
        entire._width = lambda k, free: 500
        best = entire.solve(none, none, value).value
        assert found.value >= best - 0.02 * (value - best) - slack(problem)


@settings(max_examples=scaled(50))
@given(
    st.sampled_from(("plain", "correlated", "ridge", "scales", "quadratic", "wide", "float32")),
    seeds,
    st.integers(4, 9),
)
def test_a_sharper_diagonal_gives_a_better_bound_that_is_below_the_truth(kind, seed, p):
    problem, rng = instance(kind, seed, p), np.random.default_rng([seed, 9])
    k, none = int(rng.integers(1, p)), np.zeros(p, dtype=bool)
    value, _ = truth(problem, k, none, none)
    relaxation = Relaxation(problem, k)
    found = Incumbent(relaxation.problem, np.zeros(p, problem.dtype), value + 1e-3 * abs(value), 3600.0, None)
    sharp = sharpened(relaxation, found)
    assert np.linalg.eigvalsh(relaxation.H - np.diag(sharp.D))[0] >= -1e-13 * np.trace(relaxation.H)
    before, after = (r.solve(none, none, found.target).value for r in (relaxation, sharp))
    assert after >= min(before, found.target) - 1e-3 * abs(value - before) - slack(problem)
    inside, outside = fixings(rng, p, k)
    value, support = truth(problem, k, inside, outside)
    for bound in (sharp.solve(inside, outside, math.inf), sharp.bound(rng.standard_normal(p), inside, outside)):
        assert bound.value <= value + slack(problem)
        must, cannot = sharp.screened(bound, inside, outside, value + slack(problem))
        assert not np.any(must & ~support) and not np.any(cannot & support)


def test_the_diagonal_beats_random_ones():
    gaps = []
    for seed in range(6):
        rng, none = np.random.default_rng(seed), np.zeros(6, dtype=bool)
        X = rng.standard_normal((12, 6)) + rng.standard_normal((12, 1))
        problem = LeastSquares(X, X @ rng.standard_normal(6) + rng.standard_normal(12))
        value = enumerate_supports(problem, 2)[1]
        plain, trial = Relaxation(problem, 2), Relaxation(problem, 2)
        sharp = sharpened(plain, Incumbent(plain.problem, np.zeros(6), value, 3600.0, None))
        best = before = plain.solve(none, none, value).value
        for _ in range(100):
            D = 10.0 ** rng.uniform(-1, 0, 6)
            root = np.sqrt(D)
            trial.D = 0.999999 * D * np.linalg.eigvalsh(plain.H / root / root[:, None])[0]
            best = max(best, trial.solve(none, none, value).value)
        after = sharp.solve(none, none, value).value
        assert after >= best
        gaps.append((value - after) / (value - before))
    assert np.mean(gaps) < 0.8

"""Certificates against enumeration: a bound may be loose, never wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsopt.branch_and_bound.relaxation import root_bound
from sparsopt.catalogue import htp, iht, omp
from sparsopt.certificates import Certificates, Standing, lower_bound, swap_gain, swaps, tangents, tightened_bound
from sparsopt.certificates import standing as module
from sparsopt.exact import enumerate_supports
from sparsopt.method import run
from sparsopt.problems import LeastSquares, Logistic, Problem, Quadratic
from sparsopt.solvers import solve
from tests.conftest import scaled
from tests.toys import Quadratic as Toy

seeds = st.integers(0, 2**32 - 1)
sizes = st.tuples(st.integers(1, 7), st.integers(0, 4))


def make(seed, p, kind):
    """A problem with n >= p or with p > n, well or badly conditioned, with a clear or a vague optimum.

    With ties, copies and near copies of a column, and constant ones.
    """
    draws = np.random.default_rng((seed, p))
    n = int(draws.integers(2, 4 * p + 8))
    X = draws.standard_normal((n, p)) + draws.exponential() * draws.standard_normal((n, 1))
    match int(draws.integers(6)):
        case 0:
            X = draws.integers(-1, 2, (n, p)).astype(float)  # ties
        case 1:
            X[:, -1] = draws.choice([1.0, -2.0, 0.1]) * X[:, 0]
        case 2:
            X[:, 0] = draws.choice([0.0, 0.1, 1.0])
        case 3:
            X[:, -1] = X[:, 0] + 10.0 ** draws.uniform(-12, -4) * draws.standard_normal(n)
    noise = 10.0 ** draws.uniform(-6, 1)
    y = X[:, : 1 + p // 3].sum(axis=1) + noise * draws.standard_normal(n)
    labels = (y > np.median(y)).astype(float)
    labels[:2] = (0.0, 1.0)
    ridge = 10.0 ** draws.uniform(-8, 1)
    return [
        lambda: LeastSquares(X, y),
        lambda: LeastSquares(X, y, ridge, intercept=True),
        lambda: LeastSquares(X.astype(np.float32), y, ridge),
        lambda: Logistic(X, labels, ridge),
        lambda: Quadratic(X.T @ X + 1e-9 * np.eye(p), X.T @ y, draws.standard_normal()),
    ][kind]()


def points(problem, k, seed):
    """Points to certify: by a method, at random, the worst, and the best."""
    yield run(omp(min(k, problem.p)), problem, problem.start(0)).state
    draws = np.random.default_rng((seed, 1))
    support = np.isin(np.arange(problem.p), draws.permutation(problem.p)[:k])
    yield problem.start(0).but(x=problem.minimise_on(support)[0], support=support)
    x = np.where(support, draws.standard_normal(problem.p), 0).astype(problem.dtype)
    yield problem.start(0).but(x=x, support=support)


@given(seeds, sizes, st.integers(0, 4))
@settings(max_examples=scaled(100))
def test_no_bound_exceeds_the_truth_and_no_proof_is_wrong(seed, size, kind):
    p, k = size
    k = min(k, p)
    problem = make(seed, p, kind)
    x, truth = enumerate_supports(problem, k)
    doubt = problem.rounding(x)[0]  # of the truth itself, which enumeration computes with rounding
    for state in points(problem, k, seed):
        proof = Certificates(problem, state.x, state.support, k)
        assert proof.lower_bound <= truth + doubt
        assert lower_bound(problem, state.x, k) <= proof.lower_bound
        assert proof.gap >= 0 and proof.feasible
        if proof.optimal:
            scale = max(abs(proof.value), abs(problem.value(0 * x)))
            assert proof.value <= truth + 1.01e-10 * scale + doubt
    x = x.astype(float) + np.random.default_rng(seed).standard_normal(p)  # any point, however infeasible, gives a bound
    assert tightened_bound(problem, x, k, steps=5) <= truth + doubt


@given(seeds, st.integers(2, 7), st.integers(1, 3), st.integers(0, 4))
@settings(max_examples=scaled(60))
def test_an_optimal_point_is_stationary_and_swap_optimal(seed, p, k, kind):
    k = min(k, p)
    problem = make(seed, p, kind)
    if problem.dtype == np.float32:
        return
    x, value = enumerate_supports(problem, k)
    proof = Certificates(problem, x, x != 0, k)
    assert proof.value == pytest.approx(value, rel=1e-9, abs=1e-9)
    assert proof.one_swap_optimal in (True, None) and (kind == 3) == (proof.one_swap_optimal is None)
    if np.count_nonzero(x) == k:
        assert proof.l_stationary


def brute_gain(problem, support, additions):
    value, best = problem.minimise_on(support)[1], math.inf
    for j in np.flatnonzero(~support):
        other = support.copy()
        other[j] = True
        if additions:
            best = min(best, problem.minimise_on(other)[1])
        for i in np.flatnonzero(support):
            other[i] = False
            best = min(best, problem.minimise_on(other)[1])
            other[i] = True
    return value - best


@given(seeds, st.integers(2, 8), st.integers(0, 4), st.booleans(), st.booleans())
@settings(max_examples=scaled(60))
def test_the_best_swap_is_that_of_refitting_all(seed, p, k, additions, dependent):
    draws = np.random.default_rng(seed)
    X, y = draws.standard_normal((p + 4, p)), draws.standard_normal(p + 4)
    if dependent:
        X, y = draws.integers(-9, 10, X.shape).astype(float), np.round(8 * y)  # H is then exactly singular
        X[:, -1] = X[:, 0]
    for problem in (LeastSquares(X, y, intercept=True), LeastSquares(X, y, 0.3), Quadratic(X.T @ X, X.T @ y)):
        support = np.isin(np.arange(p), draws.permutation(p)[:k])
        x, _ = problem.minimise_on(support)
        gain, expected = swap_gain(problem, x, support, additions), brute_gain(problem, support, additions)
        assert gain == pytest.approx(expected, rel=1e-6, abs=1e-8 * (y @ y))


@pytest.mark.parametrize("additions", [False, True])
def test_swaps_beside_dependent_coordinates_are_refitted(additions):
    """Two equal columns in S: no factorisation, so every neighbour is minimised on; coming in alone gains more."""
    draws = np.random.default_rng(0)
    X = draws.standard_normal((20, 6))
    X[:, 1] = X[:, 0]
    problem, support = LeastSquares(X, X @ np.array([2.0, 0, 1.0, 1.0, 0, 0])), np.arange(6) < 2
    x, _ = problem.minimise_on(support)
    gains = [brute_gain(problem, support, more) for more in (False, True)]
    assert swap_gain(problem, x, support, additions) == pytest.approx(gains[additions], rel=1e-9)
    three = np.arange(6) < 3
    gains = [brute_gain(problem, three, more) for more in (False, True)]
    assert swap_gain(problem, problem.minimise_on(three)[0], three, additions) == pytest.approx(gains[additions])


def test_a_better_swap_is_seen():
    problem = Quadratic(np.eye(3), np.array([3.0, 2.0, 1.0]))
    for support, best in (([1, 1, 0], True), ([1, 0, 1], False), ([1, 0, 0], False)):
        support = np.array(support, dtype=bool)
        x = problem.minimise_on(support)[0]
        proof = Certificates(problem, x, support, 2)
        assert (proof.one_swap_optimal, proof.optimal, proof.l_stationary) == (best, best, best)
    worse = np.array([3.0, 1.5, 0.0])  # the right support, the wrong weights
    proof = Certificates(problem, worse, worse != 0, 2)
    assert (proof.one_swap_optimal, proof.optimal, proof.l_stationary) == (False, False, False)


def test_l_stationarity_compares_gradients_with_the_smallest_weight():
    """f = 2 (x_1 - 1)^2 / 2 + (x_2 - b)^2 / 2, L = 2: (1, 0) is stationary while b <= L * 1."""
    for b, stationary in ((1.9, True), (2.1, False)):
        problem = Quadratic(np.diag([2.0, 1.0]), np.array([2.0, b]))
        assert Certificates(problem, np.array([1.0, 0.0]), np.array([True, False]), 1).l_stationary is stationary


def test_where_a_coordinate_is_still_free_every_gradient_has_to_vanish():
    """(3, 0, 0) with k = 2: the second largest weight is 0, so the bound on |g_j| is 0, not L times the largest."""
    problem, x = Quadratic(np.eye(3), np.array([3.0, 0.5, 0.0])), np.array([3.0, 0.0, 0.0])
    assert Certificates(problem, x, x != 0, 2).l_stationary is False
    assert Certificates(problem, x, x != 0, 1).l_stationary is True


def test_what_iht_ends_at_is_l_stationary():
    draws = np.random.default_rng(0)
    X = draws.standard_normal((60, 20))
    problem = LeastSquares(X, X[:, :4].sum(axis=1) + draws.standard_normal(60))
    result = run(iht(4, rounds=3000), problem, problem.start(0))
    assert Certificates(problem, result.x, result.support, 4).l_stationary


def test_clear_optima_are_proved():
    """Well-conditioned least squares with a clear signal: proved optimal almost always, and then it is."""
    proved = 0
    for seed in range(20):
        draws = np.random.default_rng(seed)
        X = draws.standard_normal((200, 12))
        problem = LeastSquares(X, X[:, :3].sum(axis=1) + 0.1 * draws.standard_normal(200))
        result = run(htp(3), problem, problem.start(0))
        proof = Certificates(problem, result.x, result.support, 3)
        if proof.optimal:
            proved += 1
            np.testing.assert_allclose(enumerate_supports(problem, 3)[0], result.x, atol=1e-12)
    assert proved == 20


def test_tightening_closes_most_of_the_gap():
    draws = np.random.default_rng(1)
    X = draws.standard_normal((300, 60))
    problem = LeastSquares(X, X[:, :10].sum(axis=1) + 2 * draws.standard_normal(300))
    result = run(htp(10), problem, problem.start(0))
    value = problem.value(result.x)
    first, last = lower_bound(problem, result.x, 10), tightened_bound(problem, result.x, 10)
    assert value - last < 0.3 * (value - first)
    assert last >= tightened_bound(problem, result.x, 10, steps=3) >= first


def test_tightening_is_accelerated():
    """Correlated columns: after 40 steps half of the gap is closed; without momentum a tenth would be."""
    draws = np.random.default_rng(0)
    X = draws.standard_normal((300, 60)) + draws.standard_normal((300, 1))
    problem = LeastSquares(X, X[:, :10].sum(axis=1) + 2 * draws.standard_normal(300), 0.01)
    x = run(htp(10), problem, problem.start(0)).x
    value, first = problem.value(x), lower_bound(problem, x, 10)
    assert value - tightened_bound(problem, x, 10, steps=40) < 0.6 * (value - first)


def test_the_bound_is_that_of_the_relaxation_where_it_is_better():
    """Columns of very different size: one curvature for all of them says little, a diagonal almost everything."""
    draws = np.random.default_rng(3)
    X = draws.standard_normal((200, 30)) * np.geomspace(1, 100, 30)
    problem = LeastSquares(X, X[:, :5] @ np.array([5.0, 4.0, 3.0, 2.0, 1.0]) + 10 * draws.standard_normal(200))
    x, support = (state := run(omp(4), problem, problem.start(0))).x, state.support
    proof = Certificates(problem, x, support, 4)
    plain, root = tightened_bound(problem, x, 4), root_bound(problem, 4, proof.value)
    assert plain < root <= proof.lower_bound <= proof.value
    assert proof.value - proof.lower_bound < 0.1 * (proof.value - plain)


@given(seeds, sizes, st.sampled_from((0, 1, 4)))
@settings(max_examples=scaled(30))
def test_a_bound_that_may_take_longer_is_sound_and_no_worse(seed, size, kind):
    p, k = size
    problem = make(seed, p, kind)
    x, truth = enumerate_supports(problem, min(k, p))
    proof = Certificates(problem, x, x != 0, min(k, p))
    longer = proof.sharpened(seconds=10.0)
    assert proof.lower_bound - 1e-9 * abs(truth) <= longer.lower_bound <= truth + problem.rounding(x)[0]


def test_a_second_takes_a_part_of_the_gap():
    draws = np.random.default_rng(1)
    X = draws.standard_normal((60, 20)) + draws.standard_normal((60, 1))
    problem = LeastSquares(X, X[:, :5].sum(axis=1) + 3 * draws.standard_normal(60))
    state = run(omp(4), problem, problem.start(0)).state
    proof = Certificates(problem, state.x, state.support, 4)
    longer = proof.sharpened(10.0)
    assert (longer.seconds, proof.seconds) == (10.0, 0.0)
    assert longer.gap < 0.9 * proof.gap
    assert proof.sharpened(1e-9).gap <= proof.gap * (1 + 1e-9)


def test_the_relaxation_is_left_alone_where_it_costs_too_much(monkeypatch):
    problem = make(1, 6, 1)
    x, _ = problem.minimise_on(np.arange(6) < 2)
    monkeypatch.setattr(module, "ROOT_WORK", 0.0)
    proof = Certificates(problem, x, x != 0, 2)
    assert proof.lower_bound == max(lower_bound(problem, x, 2), tightened_bound(problem, x, 2))


def test_the_standing_is_the_strongest_that_holds():
    diagonal = Quadratic(np.eye(3), np.array([3.0, 2.0, 1.0]))
    wide = LeastSquares(np.random.default_rng(0).standard_normal((5, 8)), np.arange(5.0))  # no bound but 0
    best = enumerate_supports(wide, 2)[0]
    worst = wide.minimise_on(np.argsort(np.abs(wide.gradient(np.zeros(8)))) < 0)[0]
    close = enumerate_supports(wide, 4)[0]
    assert 0 < wide.value(close) < 0.1 * wide.value(0 * close)
    near = diagonal.minimise_on(np.array([True, True, False]))[0] - np.array([0.1, 0, 0])
    for problem, x, support, k, standing in (
        (diagonal, np.array([3.0, 2, 0]), np.array([True, True, False]), 2, Standing.OPTIMAL),
        (diagonal, near, near != 0, 2, Standing.WITHIN_GAP),
        (wide, best, best != 0, 2, Standing.ONE_SWAP_OPTIMAL),
        (wide, worst, worst != 0, 2, Standing.FEASIBLE),
        (
            wide,
            close,
            close != 0,
            4,
            Standing.ONE_SWAP_OPTIMAL,
        ),  # almost exact, and no bound but 0: no gap to be within
        (diagonal, np.ones(3), np.ones(3, dtype=bool), 2, Standing.INFEASIBLE),
    ):
        assert Certificates(problem, x, support, k).standing is standing
    assert str(Standing.OPTIMAL).startswith("Optimal")


def test_a_bound_that_holds_for_every_x_is_not_printed_as_one():
    wide = LeastSquares(np.random.default_rng(0).standard_normal((5, 8)), np.arange(5.0))
    text = str(solve(wide, 2))
    assert "none but 0, which f is never below" in text and "One-swap optimal" in text
    assert "(gap " in str(solve(LeastSquares(np.eye(5), np.arange(5.0), ridge=0.1), 2))


def test_the_relaxed_step_is_a_proximal_step():
    """Against a search over z: min_u |u - v|^2 / 2 + r/2 sum u_j^2 / z_j = r/2 sum v_j^2 / (z_j + r)."""
    draws = np.random.default_rng(2)
    for _ in range(20):
        v, r, k = draws.standard_normal(3), draws.exponential(), int(draws.integers(1, 3))
        u = tangents._relaxed(v, r, k)
        grid = np.linspace(0, 1, 201)
        z = np.stack(np.meshgrid(grid, grid, indexing="ij"), -1).reshape(-1, 2)
        z = np.column_stack([z, k - z.sum(axis=1)])
        z = z[(z[:, 2] >= 0) & (z[:, 2] <= 1)]
        best = z[np.argmin((v**2 / (z + r)).sum(axis=1))]
        np.testing.assert_allclose(u, v * best / (best + r), atol=0.01 * np.abs(v).max())
    np.testing.assert_allclose(tangents._relaxed(np.array([1.0, 0.0, -2.0]), 0.5, 2), [2 / 3, 0, -4 / 3])


def test_infeasible_points_are_not_certified():
    problem = Quadratic(np.eye(3), np.array([3.0, 2.0, 1.0]))
    x, off = np.array([3.0, 2.0, 0.0]), np.array([True, False, False])
    assert not Certificates(problem, x, x != 0, 1).feasible
    assert not Certificates(problem, x, off, 2).feasible
    assert not Certificates(problem, x, off, 2).optimal
    assert not Certificates(problem, np.array([np.nan, 0, 0]), off, 2).feasible
    assert Certificates(problem, np.array([np.nan, 0, 0]), off, 2).lower_bound == -math.inf
    assert Certificates(problem, 0 * x, ~off & off, 0).optimal


def test_without_strong_convexity_only_the_floor_is_left():
    draws = np.random.default_rng(0)
    X = draws.standard_normal((5, 10))
    problem = LeastSquares(X, X[:, 0] * 2.0)
    x, _ = problem.minimise_on(np.arange(10) < 5)
    proof = Certificates(problem, x, x != 0, 5)
    assert proof.lower_bound == 0.0 and proof.optimal  # an exact fit needs no other proof
    x, _ = problem.minimise_on(np.arange(10) == 3)
    assert not Certificates(problem, x, x != 0, 1).optimal
    singular = Quadratic(np.ones((2, 2)), np.ones(2))
    assert Certificates(singular, np.zeros(2), np.zeros(2, bool), 1).lower_bound == -math.inf


class Plain(Problem):
    def value(self, x):
        return float((x - 1) @ (x - 1)) / 2

    def gradient(self, x):
        return x - 1


def test_a_problem_without_capabilities_has_no_bound():
    proof = Certificates(Plain(3), np.array([1.0, 0, 0]), np.array([True, False, False]), 1)
    assert proof.value == 1.0 and proof.lower_bound == -math.inf and proof.gap == math.inf
    assert proof.l_stationary is None and proof.one_swap_optimal is None and not proof.optimal


def test_what_a_problem_does_not_say_is_taken_as_plain():
    """A problem of one's own need not say that any k coordinates may have any values."""
    problem, x = Toy(np.eye(3), [3.0, 2.0, 1.0]), np.array([3.0, 2.0, 0.0])
    assert Certificates(problem, x, x != 0, 2).l_stationary is True
    problem.plain = False
    assert Certificates(problem, x, x != 0, 2).l_stationary is None


def test_swaps_are_left_alone_where_they_cost_too_much(monkeypatch):
    draws = np.random.default_rng(0)
    X = draws.standard_normal((20, 6))
    X[:, 1] = X[:, 0]
    problem, support = LeastSquares(X, X[:, 0]), np.arange(6) < 2
    x, _ = problem.minimise_on(support)
    assert Certificates(problem, x, support, 2).one_swap_optimal is True
    for work, answer in ((20 * 6 * 3, True), (20 * 6 * 3 - 1, None)):  # rows, columns, the support and one more
        monkeypatch.setattr(module, "MOST_WORK", work)
        assert Certificates(problem, x, support, 2).one_swap_optimal is answer
    monkeypatch.setattr(module, "MOST_WORK", 2e9)
    work = 2 * (8 / 3 + 4 * 4) + 8 / 3 + 20 * 6**2  # each of two goes out, four may come in; S itself; a Gram
    for most, known in ((work + 1, True), (work - 1, False)):
        monkeypatch.setattr(swaps, "MOST_EXACT", most)
        assert Certificates(problem, x, support, 2).one_swap_optimal is (True if known else None)
    monkeypatch.setattr(swaps, "MOST_EXACT", 0)
    assert math.isnan(swap_gain(problem, x, support))


def test_an_exchange_that_the_gram_cannot_price_is_refitted():
    """Two columns that differ by 1e-6: their difference fits the rest of y, which no inner product of theirs shows."""
    draws = np.random.default_rng(3)
    X = draws.standard_normal((30, 4))
    X[:, 1] = X[:, 0] + 1e-6 * draws.standard_normal(30)
    y = X[:, 0] + 1e6 * (X[:, 1] - X[:, 0]) + 0.1 * draws.standard_normal(30)
    problem = LeastSquares(X, y)
    support = np.array([True, False, True, False])
    x, value = problem.minimise_on(support)
    best = enumerate_supports(problem, 2)[1]
    assert best < 0.5 * value
    assert swap_gain(problem, x, support) == pytest.approx(value - best, rel=1e-3)
    assert Certificates(problem, x, support, 2).one_swap_optimal is False

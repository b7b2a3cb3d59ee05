"""Bounds are never above the truth, screening never loses the optimum, trees end at what enumeration finds."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsopt import solve
from sparsopt.branch_and_bound import BranchAndBound, Proof, Relaxation, root_bound
from sparsopt.branch_and_bound.incumbent import Incumbent
from sparsopt.branch_and_bound.leaps import _Search, leap
from sparsopt.branch_and_bound.model import Quadratic as Model
from sparsopt.branch_and_bound.splitting import convex_after, splitting
from sparsopt.branch_and_bound.tree import best_first
from sparsopt.errors import InvalidResult, MissingCapability
from sparsopt.exact import enumerate_supports
from sparsopt.problems import LeastSquares, Logistic, Problem, Quadratic
from sparsopt.result import Status
from tests.conftest import scaled

seeds = st.integers(0, 2**32 - 1)
KINDS = ("plain", "correlated", "ridge", "wide", "logistic", "scales", "float32", "quadratic", "weights")
kinds = st.sampled_from(KINDS)


def instance(kind: str, seed: int, p: int):
    """A strongly convex problem of p coordinates; n > p but for 'wide'."""
    rng = np.random.default_rng([seed, p])
    n = p // 2 + 2 if kind == "wide" else 2 * p + int(rng.integers(2, 10))
    X = rng.standard_normal((n, p))
    if kind in ("correlated", "logistic", "quadratic"):
        X += rng.uniform(0.5, 2.0) * rng.standard_normal((n, 1))
    if kind == "scales":
        X *= 10.0 ** rng.uniform(-3, 3, p)
    y = X[:, : p // 2] @ (rng.standard_normal(p // 2) / np.linalg.norm(X[:, : p // 2], axis=0)) * math.sqrt(n)
    y += rng.uniform(0.1, 2.0) * rng.standard_normal(n)
    ridge = 10.0 ** rng.uniform(-3, 0) if kind in ("ridge", "wide", "logistic") else 0.0
    if kind == "logistic":
        labels = y > np.median(y)
        labels[:2] = (True, False)
        return Logistic(X, labels, ridge, intercept=bool(seed % 2))
    if kind == "quadratic":
        return Quadratic(X.T @ X / n, X.T @ y / n, constant=float(rng.standard_normal()))
    if kind == "float32":
        return LeastSquares(X.astype(np.float32), y)
    return LeastSquares(X, y, ridge, bool(seed % 2), rng.random(n) if kind == "weights" else None)


def fixings(rng: np.random.Generator, p: int, k: int):
    """Random coordinates in (fewer than k) and out."""
    order = rng.permutation(p)
    inside, outside = np.zeros(p, dtype=bool), np.zeros(p, dtype=bool)
    some = int(rng.integers(0, k))
    inside[order[:some]] = True
    outside[order[some : some + int(rng.integers(0, p - k + 1))]] = True
    return inside, outside


def truth(problem, k: int, inside, outside):
    """(value, support) of the best support of size at most k of a node, by minimising on all."""
    free = np.flatnonzero(~(inside | outside))
    size = min(k - int(inside.sum()), free.size)
    best = (math.inf, inside)
    for chosen in itertools.combinations(free, size):
        support = inside.copy()
        support[list(chosen)] = True
        value = problem.minimise_on(support, None)[1]
        best = (value, support) if value < best[0] else best
    return best


def slack(problem) -> float:
    """What enumeration itself may be off by."""
    eps = 1e-5 if problem.dtype == np.float32 else 1e-12
    return eps * (abs(problem.value(np.zeros(problem.p, problem.dtype))) + 1e-3)


# ---- bounds --------------------------------------------------------------------------------------------------------


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
    X = rng.standard_normal((60, 900))
    y = X[:, :4] @ np.array([3.0, -2.0, 2.0, 1.5]) + 0.3 * rng.standard_normal(60)
    for problem in (LeastSquares(X, y, 1.0), LeastSquares(X.astype(np.float32), y, 1.0), Logistic(X, y > 0, 0.1)):
        support = np.arange(900) < 4
        value = problem.minimise_on(support, None)[1]
        relaxation, none = Relaxation(problem, 4), np.zeros(900, dtype=bool)
        found = relaxation.solve(none, none, value)
        assert found.value <= value
        entire = Relaxation(problem, 4)
        entire._width = lambda k, free: 900
        best = entire.solve(none, none, value).value
        assert found.value >= best - 0.02 * (value - best) - slack(problem)


# ---- leaps and bounds ----------------------------------------------------------------------------------------------


@given(st.sampled_from(("plain", "correlated", "ridge", "scales", "quadratic", "float32")), seeds, st.integers(2, 10))
def test_certified_bounds_on_supports_hold_at_any_point(kind, seed, p):
    problem, rng = instance(kind, seed, max(p, 2)), np.random.default_rng([seed, 4])
    p = problem.p
    model = Model(problem, problem.hessian_block(np.arange(p)), 1)
    A = rng.random((5, p)) < 0.6
    values = [problem.minimise_on(support, None) for support in A]
    best = np.array([x for x, _ in values], dtype=np.float64)
    spreads = np.array([0.0, 1e-9, 1e-6, 1e-3, 1.0])[:, None]
    U = np.where(A, best * (1 + spreads * rng.standard_normal((5, p))), 0.0)
    found = model.certified(U, A)
    truths = np.array([value for _, value in values])
    assert np.all(found <= truths + slack(problem))
    if kind in ("plain", "ridge"):
        assert found[0] >= truths[0] - 1e-9 * (1 + abs(truths[0]))


@settings(max_examples=scaled(60))
@given(st.sampled_from(("plain", "correlated", "ridge", "quadratic", "scales")), seeds, st.integers(6, 13))
def test_leaps_find_what_enumeration_finds_from_any_start(kind, seed, p):
    problem, rng = instance(kind, seed, p).open(), np.random.default_rng([seed, 5])
    k = int(rng.integers(1, p - 1))
    inside, outside = fixings(rng, p, k)
    if seed % 3:
        inside[:] = outside[:] = False
    value, _ = truth(problem, k, inside, outside)
    x, start = problem.minimise_on(inside, None)
    found = Incumbent(problem, x, start, 3600.0, None)
    left = leap(Model(problem, problem.hessian_block(np.arange(p)), k), inside, outside, found)
    assert left == math.inf
    scale = max(abs(value), found.scale)
    assert abs(found.value - value) <= 1e-10 * scale
    assert value - 1e-9 * scale <= min(found.target, found.closed) <= value + slack(problem)


@settings(max_examples=scaled(40))
@given(seeds, st.sampled_from((1e-6, 1e-3, 0.1, 1.0)))
def test_nothing_rests_on_the_matrix_that_leaps_update(seed, error):
    """With a spoiled inverse the search is slower and as right as before."""
    problem, rng = instance("correlated", seed, 12).open(), np.random.default_rng([seed, 7])
    k, none = 4, np.zeros(12, dtype=bool)
    value, _ = truth(problem, k, none, none)
    found = Incumbent(problem, *problem.minimise_on(none, None), 3600.0, None)
    search = _Search(Model(problem, problem.hessian_block(np.arange(12)), k), found)
    right = search._root(none, none)
    spoiled = right.M * (1 + error * rng.standard_normal(right.M.shape))
    w, bound = right.w * (1 + error * rng.standard_normal(12)), right.bound + error * problem.value(np.zeros(12))
    search._root = lambda *_: dataclasses.replace(right, M=spoiled, w=w, bound=bound)
    assert search.run(none, none) == math.inf
    assert search.found.value <= value + slack(problem)
    assert min(search.found.target, search.found.closed) <= value + slack(problem)


@given(kinds, seeds)
def test_closing_one_support_costs_its_rounding_errors(kind, seed):
    """A leaf is closed with a bound below its value, which the final bound may not exceed."""
    problem = instance(kind, seed, 6)
    relaxation, zero = Relaxation(problem, 6), np.zeros(6, dtype=bool)
    start = relaxation.problem.minimise_on(zero, None)
    found = Incumbent(relaxation.problem, *start, 3600.0, None)
    assert best_first(relaxation, found) == []
    assert found.value - 1e-2 * found.scale <= found.closed < found.value
    if relaxation.H is not None:
        found = Incumbent(relaxation.problem, *start, 3600.0, None)
        leap(Model(relaxation.problem, relaxation.H, 6), zero, zero, found)
        assert found.value - 1e-2 * found.scale <= found.closed < found.value
        found.close(math.inf)
        assert found.closed < found.value


@settings(max_examples=scaled(20))
@given(seeds, st.integers(0, 4))
def test_leaps_stopped_early_say_what_is_left(seed, nodes):
    problem = instance("correlated", seed, 16).open()
    k, none = 5, np.zeros(16, dtype=bool)
    value = enumerate_supports(problem, k)[1]
    x, start = problem.minimise_on(none, None)
    found = Incumbent(problem, x, start, 3600.0, nodes)
    left = leap(Model(problem, problem.hessian_block(np.arange(16)), k), none, none, found)
    assert min(left, found.target, found.closed) <= value + slack(problem)


# ---- trees ---------------------------------------------------------------------------------------------------------


@settings(max_examples=scaled(100))
@given(kinds, seeds, st.integers(4, 11))
def test_the_tree_ends_at_the_optimum(kind, seed, p):
    problem = instance(kind, seed, p)
    k = 1 + seed % (p - 1)
    value = enumerate_supports(problem, k)[1]
    result = solve(problem, k, BranchAndBound(seconds=3600.0))
    assert result.status is Status.PROVED and result.proof.complete
    assert result.value <= value + slack(problem)
    tolerance = 1e-2 if kind == "float32" else 1e-9  # what float32 products may be off by is taken off the bound
    scale = abs(value) + abs(problem.value(np.zeros(p, problem.dtype)))
    assert value - tolerance * scale <= result.lower_bound <= value + slack(problem)


@settings(max_examples=scaled(40))
@given(kinds, seeds, st.integers(6, 10), st.integers(0, 6))
def test_best_first_alone_is_sound_wherever_it_stops(kind, seed, p, nodes):
    problem = instance(kind, seed, p)
    k = 1 + seed % (p - 1)
    value = enumerate_supports(problem, k)[1]
    relaxation = Relaxation(problem, k)
    x, start = relaxation.problem.minimise_on(np.zeros(p, dtype=bool), None)
    for most in (nodes, math.inf):
        found = Incumbent(relaxation.problem, x, start, 3600.0, None)
        open_ = best_first(relaxation, found, most)
        bound = min([found.target, found.closed, *(node.value for node in open_)])
        assert bound <= value + slack(problem)
    assert not open_
    assert found.value <= value + slack(problem)


@settings(max_examples=scaled(20))
@given(kinds, seeds, st.integers(1, 8))
def test_a_truncated_search_is_sound_and_says_so(kind, seed, nodes):
    problem = instance(kind, seed, 10)
    value = enumerate_supports(problem, 4)[1]
    for solver in (BranchAndBound(nodes=nodes), BranchAndBound(seconds=0.0)):
        result = solve(problem, 4, solver)
        assert result.lower_bound <= value + slack(problem)
        assert result.status is (Status.PROVED if result.proof.complete else Status.LIMIT)
        assert result.proof.nodes <= nodes + 130 or solver.nodes is None  # a batch ends what it began


@settings(max_examples=scaled(30))
@given(seeds)
def test_copies_and_constant_columns_do_not_stop_a_proof(seed):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((30, 5))
    copies = np.column_stack([X, X[:, 1], -2 * X[:, 3], np.full(30, 0.1), np.zeros(30)])
    y = X[:, 1] - X[:, 3] + rng.standard_normal(30)
    order = rng.permutation(9)
    problem = LeastSquares(copies[:, order], y, intercept=True)
    value = enumerate_supports(LeastSquares(X, y, intercept=True), 3)[1]
    result = solve(problem, 3, BranchAndBound(seconds=3600.0))
    assert result.status is Status.PROVED
    assert "equal" in result.proof.assumes
    assert abs(result.value - value) <= 1e-10
    assert value - 1e-9 <= result.lower_bound <= value + 1e-12


def test_without_strong_convexity_there_is_no_bound():
    rng = np.random.default_rng(0)
    wide = LeastSquares(rng.standard_normal((5, 9)), rng.standard_normal(5))
    result = solve(wide, 2, BranchAndBound())
    assert result.status is Status.NO_BOUND
    assert result.proof is None
    assert root_bound(wide, 2, result.value) == 0.0
    assert "ridge" in str(result.status)
    with pytest.raises(MissingCapability, match="ridge"):
        Relaxation(wide, 2).bound(np.zeros(9), np.zeros(9, dtype=bool), np.zeros(9, dtype=bool))
    flat = Logistic(rng.standard_normal((20, 4)), np.arange(20) % 2)
    assert solve(flat, 2, BranchAndBound()).status is Status.NO_BOUND


class Unrounded(LeastSquares):
    """A loss of one's own that is strongly convex and does not say how it rounds."""

    def rounding(self, x):
        return Problem.rounding(self, x)


class RoundedAtZero(Unrounded):
    """One that knows it at 0 only."""

    def rounding(self, x):
        return (math.inf, np.full(self.p, math.inf)) if x.any() else (0.0, np.zeros(self.p))


def test_without_rounding_errors_there_is_no_bound():
    draws = np.random.default_rng(0)
    X, y = draws.standard_normal((20, 6)), draws.standard_normal(20)
    result = solve(Unrounded(X, y, ridge=0.1), 2)
    assert result.lower_bound == 0.0 and not result.certificates.optimal  # the floor of squares
    assert root_bound(Unrounded(X, y, ridge=0.1), 2) == root_bound(RoundedAtZero(X, y, ridge=0.1), 2) == 0.0
    with pytest.raises(MissingCapability, match=r"rounding\(x\)"):
        _ = Relaxation(Unrounded(X, y, ridge=0.1), 2).curvature
    everything = np.zeros(6, bool)
    assert Relaxation(RoundedAtZero(X, y, ridge=0.1), 2).bound(np.ones(6), everything, everything).value == -math.inf


def test_by_name_and_at_the_ends():
    problem = instance("plain", 3, 6)
    assert solve(problem, 2, "branch-and-bound").value == pytest.approx(enumerate_supports(problem, 2)[1], abs=1e-12)
    assert not solve(problem, 0, "branch-and-bound").support.any()
    assert solve(problem, 6, "branch-and-bound").status is Status.CLIPPED
    whole = BranchAndBound().solve(problem, 6, 0)
    assert whole.proof.complete
    assert whole.proof.lower_bound <= problem.minimise_on(np.ones(6, dtype=bool), None)[1]
    assert eval(repr(BranchAndBound(seconds=1.0))) == BranchAndBound(seconds=1.0)


def test_a_zero_target_is_proved_at_once():
    problem = LeastSquares(np.random.default_rng(0).standard_normal((20, 8)), np.zeros(20))
    result = solve(problem, 3, BranchAndBound(seconds=3600.0))
    assert (result.value, result.gap) == (0.0, 0.0)


def test_a_bound_above_the_value_is_refused():
    @dataclasses.dataclass(frozen=True)
    class Liar:
        name: str = "liar"

        def solve(self, problem, k, seed):
            result = BranchAndBound().solve(problem, k, seed)
            return dataclasses.replace(result, proof=Proof(result.state.value * 1.001, 1, True))

    with pytest.raises(InvalidResult, match="nowhere below"):
        solve(instance("plain", 0, 6), 2, Liar())


def test_the_diabetes_interactions():
    """p = 65 (two columns agree), k = 6: 0.238784 is optimal, as full enumeration has shown."""
    datasets = pytest.importorskip("sklearn.datasets")
    X, y = datasets.load_diabetes(return_X_y=True)
    X = (X - X.mean(0)) / X.std(0)
    X = np.column_stack([X, *(X[:, i] * X[:, j] for i in range(10) for j in range(i, 10))])
    X, y = (X - X.mean(0)) / X.std(0), (y - y.mean()) / y.std()
    result = solve(LeastSquares(X, y), 6, BranchAndBound(seconds=3600.0))
    assert result.status is Status.PROVED
    assert result.value == pytest.approx(0.238784, abs=1e-6)
    assert result.gap <= 1e-10
    root = root_bound(LeastSquares(np.delete(X, 20, axis=1), y), 6, result.value)
    assert 1 - root / result.value == pytest.approx(0.121, abs=0.002)

"""Trees end at what enumeration finds, say what is open where they stop, and prove nothing where there is no bound."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsopt import solve
from sparsopt.branch_and_bound import BranchAndBound, Proof, Relaxation, root_bound, sharp_bound, solver
from sparsopt.branch_and_bound.incumbent import Incumbent
from sparsopt.branch_and_bound.tree import best_first
from sparsopt.errors import InvalidInput, InvalidResult, MissingCapability
from sparsopt.exact import enumerate_supports
from sparsopt.machine import compiling
from sparsopt.problems import LeastSquares, Logistic, Problem
from sparsopt.result import Status
from tests.conftest import scaled
from tests.proofs import instance, kinds, seeds, slack


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


@settings(max_examples=scaled(40))
@given(st.sampled_from(("plain", "ridge", "wide", "quadratic", "logistic")), seeds, st.integers(6, 10))
def test_beginning_again_with_a_better_diagonal_ends_at_the_optimum(kind, seed, p):
    problem = instance(kind, seed, p)
    k = 1 + seed % (p - 1)
    value = enumerate_supports(problem, k)[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(solver, "NARROW", 0)
        patch.setattr(solver, "EARLY", 2)
        result = solve(problem, k, BranchAndBound(seconds=3600.0))
        assert result.status is Status.PROVED
        assert abs(result.value - value) <= slack(problem) + 1e-10 * abs(value)
        assert result.lower_bound <= value + slack(problem)
        stopped = solve(problem, k, BranchAndBound(nodes=5))
        assert stopped.lower_bound <= value + slack(problem)


@settings(max_examples=scaled(20))
@given(kinds, seeds, st.integers(1, 8))
def test_a_truncated_search_is_sound_and_says_so(kind, seed, nodes):
    problem = instance(kind, seed, 10)
    value = enumerate_supports(problem, 4)[1]
    for method in (BranchAndBound(nodes=nodes), BranchAndBound(seconds=0.0)):
        result = solve(problem, 4, method)
        assert result.lower_bound <= value + slack(problem)
        assert result.status is (Status.PROVED if result.proof.complete else Status.LIMIT)
        assert result.proof.nodes <= nodes + 130 or method.nodes is None  # a batch ends what it began


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


@settings(max_examples=scaled(40))
@given(seeds, st.sampled_from((1e-12, 1e-10, 1e-8, 1e-6)))
def test_columns_that_are_almost_copies_are_not_taken_for_copies(seed, apart):
    """What they differ by may fit y: a proof without it would be wrong."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((20, 5))
    X[:, 4] = X[:, 0] + apart * rng.standard_normal(20)
    difference = X[:, 4] - X[:, 0]
    problem = LeastSquares(X, X[:, 0] + difference / np.linalg.norm(difference) * 5.0)
    result = solve(problem, 2, BranchAndBound(seconds=3600.0))
    assert result.lower_bound <= problem.minimise_on(np.isin(np.arange(5), (0, 4)))[1] + 1e-9
    assert result.status is Status.NO_BOUND or result.proof.assumes == ""


def test_a_ridge_far_below_rounding_is_a_ridge():
    """H is singular for every solver of equations, and f strongly convex all the same."""
    rng = np.random.default_rng(0)
    X = 1e8 * rng.standard_normal((12, 5))
    X[:, 4] = X[:, 0]
    problem = LeastSquares(X, rng.standard_normal(12), ridge=1e-8)
    result = solve(problem, 3, BranchAndBound(seconds=3600.0))
    assert result.lower_bound <= enumerate_supports(problem, 3)[1] + 1e-14


def test_columns_that_do_not_matter_leave_nothing_to_search():
    for X in (np.zeros((6, 3)), np.full((6, 3), 0.1)):
        result = solve(LeastSquares(X, np.arange(6.0), intercept=True), 2, BranchAndBound())
        assert result.value == pytest.approx(np.var(np.arange(6.0)) / 2)


def test_in_single_precision_only_equal_columns_are_copies():
    """0.1 x is not a multiple of x there: what rounding adds may fit y."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((20, 5)).astype(np.float32)
    for share, status in ((-2.0, Status.PROVED), (0.1, Status.NO_BOUND)):
        X[:, 4] = np.float32(share) * X[:, 0]
        assert solve(LeastSquares(X, rng.standard_normal(20)), 2, BranchAndBound(seconds=3600.0)).status is status


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


@pytest.mark.parametrize("seconds", [-1, -1e-9, math.nan, "1", None, True])
def test_a_budget_is_a_number_from_zero_on(seconds):
    problem = instance("plain", 0, 6)
    with pytest.raises(InvalidInput, match=r"seconds = .*; give a number >= 0"):
        BranchAndBound(seconds=seconds)
    with pytest.raises(InvalidInput, match=r"seconds = .*; give a number >= 0"):
        sharp_bound(problem, 2, seconds=seconds)
    with pytest.raises(InvalidInput, match=r"seconds = .*; give a number >= 0"):
        solve(problem, 2).certificates.sharpened(seconds)
    assert BranchAndBound(math.inf, 0).nodes == 0


@pytest.mark.parametrize("nodes", [-1, 1.5, math.nan, True, "10"])
def test_nodes_are_counted(nodes):
    with pytest.raises(InvalidInput, match=r"nodes = .*; give an integer >= 0"):
        BranchAndBound(nodes=nodes)


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


@pytest.mark.parametrize("backend", ["arrays", *(["compiled"] if compiling.available() else [])])
def test_the_diabetes_interactions(backend):
    """p = 65 (two columns agree), k = 6: 0.238784 is optimal, as full enumeration has shown."""
    datasets = pytest.importorskip("sklearn.datasets")
    X, y = datasets.load_diabetes(return_X_y=True)
    X = (X - X.mean(0)) / X.std(0)
    X = np.column_stack([X, *(X[:, i] * X[:, j] for i in range(10) for j in range(i, 10))])
    X, y = (X - X.mean(0)) / X.std(0), (y - y.mean()) / y.std()
    result = solve(LeastSquares(X, y), 6, BranchAndBound(seconds=3600.0, backend=backend))
    assert result.status is Status.PROVED
    assert result.value == pytest.approx(0.238784, abs=1e-6)
    assert result.gap <= 1e-10
    root = root_bound(LeastSquares(np.delete(X, 20, axis=1), y), 6, result.value)
    assert 1 - root / result.value == pytest.approx(0.121, abs=0.002)
